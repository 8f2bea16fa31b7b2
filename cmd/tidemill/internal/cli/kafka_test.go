package cli

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// emulated is an emulated broker with the topic words, of two partitions.
func emulated(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(2, "words"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func foreign(t *testing.T, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func send(t *testing.T, client *kgo.Client, partition int32, key, value string) {
	t.Helper()
	r := &kgo.Record{Topic: "words", Partition: partition, Key: []byte(key), Value: []byte(value), Timestamp: time.UnixMilli(1_750_000_000_000)}
	if value == "" {
		r.Value = nil
	}
	if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// onCluster runs a command line with --kafka at its end.
func onCluster(t *testing.T, addr, args string) outcome {
	t.Helper()
	return tidemill(t, nil, append(strings.Fields(args), "--kafka", addr)...)
}

func TestClusterTopics(t *testing.T) {
	c := emulated(t)
	client := foreign(t, c)
	for i := range 4 {
		send(t, client, int32(i%2), "k"+strconv.Itoa(i), "v")
	}
	send(t, client, 0, "\xff", "")
	for _, want := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"topic list", ExitOK, "NAME   PARTITIONS  CLEANUP  USE  KEY  VALUE\nwords           2  delete\n", ""},
		{"topic list -o json", ExitOK, `[{"name":"words","partitions":2,"cleanup":"delete","internal":false,"source":false,"sink":false}]` + "\n", ""},
		{"topic describe words", ExitOK, "words: cleanup delete, kept for 168h0m0s\n\nPARTITION  START  END\n        0      0    3\n        1      0    2\n", ""},
		{"topic describe nothing", ExitNotFound, "", "topic nothing does not exist"},
		{"topic read words --partition 1", ExitOK, "PARTITION  OFFSET  TIME                      KEY  VALUE\n" +
			"        1  0       2025-06-15T15:06:40.000Z  k1   v\n        1  1       2025-06-15T15:06:40.000Z  k3   v\n", ""},
		{"topic read words --offset -1 -o json", ExitOK, `{"partition":0,"offset":2,"time":"2025-06-15T15:06:40.000Z","key_base64":"/w==","value":null}` + "\n" +
			`{"partition":1,"offset":1,"time":"2025-06-15T15:06:40.000Z","key":"k3","value":"v"}` + "\n", ""},
		{"topic read words --limit 1 --partition 0 -o json", ExitOK, `{"partition":0,"offset":0,"time":"2025-06-15T15:06:40.000Z","key":"k0","value":"v"}` + "\n", ""},
		{"topic read words --partition 7", ExitUsage, "", "--partition is 7: words has 2"},
		{"topic read words --offset 99", ExitUsage, "", "words-0 ends at offset 3"},
		{"topic read nothing", ExitNotFound, "", "topic nothing does not exist"},
		{"topic create fresh --partitions 3", ExitOK, "topic fresh with 3 partitions is there\n", ""},
		{"topic create fresh --partitions 3", ExitOK, "topic fresh with 3 partitions is there\n", ""},
		{"topic create fresh --partitions 4", ExitFailed, "", "partitions: have 3, want 4"},
		{"topic create kept --partitions 1 --compact", ExitOK, "topic kept with 1 partitions is there\n", ""},
		{"group describe nobody", ExitNotFound, "", "group nobody has no committed offsets"},
		{"txn list", ExitOK, "TOPIC  PARTITION  START  PRODUCER  EPOCH  TRANSACTIONAL ID  STATE  AGE  HANGING\n", ""},
		{"txn list -o json", ExitOK, "[]\n", ""},
		{"txn repair --yes", ExitOK, "no transaction hangs\n", ""},
		{"topic list --addr http://127.0.0.1:1", ExitUsage, "", "choose one"},
	} {
		got := onCluster(t, c.ListenAddrs()[0], want.args)
		if got.code != want.code || got.stdout != want.stdout || !strings.Contains(got.stderr, want.stderr) || (want.stderr == "") != (got.stderr == "") {
			t.Errorf("%s: exit code %d, want %d\nstandard output %q\nwant            %q\nstandard error %q, want %q in it",
				want.args, got.code, want.code, got.stdout, want.stdout, got.stderr, want.stderr)
		}
	}
}

func TestGroupDescribe(t *testing.T) {
	c := emulated(t)
	send(t, foreign(t, c), 0, "k", "v")
	consumer, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("words"), kgo.ConsumerGroup("readers"), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	if err := consumer.CommitRecords(t.Context(), consumer.PollFetches(t.Context()).Records()...); err != nil {
		t.Fatal(err)
	}
	got := onCluster(t, c.ListenAddrs()[0], "group describe readers -o json")
	if got.stdout != `[{"topic":"words","partition":0,"offset":1,"end_offset":1,"lag":0}]`+"\n" {
		t.Errorf("%+v", got)
	}
}

// TestTxn lists the open transaction of somebody, and repairs it when the emulated
// coordinator says that it had aborted it.
func TestTxn(t *testing.T) {
	c := emulated(t)
	client := foreign(t, c, kgo.TransactionalID("somebody"))
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	send(t, client, 1, "k", "open")
	addr := c.ListenAddrs()[0]
	id, epoch, err := client.ProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := onCluster(t, addr, "txn list")
	for _, want := range []string{"words          1      0", "somebody", "Ongoing", "false"} {
		if got.code != ExitOK || !strings.Contains(got.stdout, want) {
			t.Errorf("%+v: no %q", got, want)
		}
	}
	if got := onCluster(t, addr, "txn repair --yes"); got.stdout != "no transaction hangs\n" {
		t.Errorf("repair of a transaction that does not hang: %+v", got)
	}

	c.ControlKey(int16(kmsg.DescribeTransactions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := r.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		s := kmsg.NewDescribeTransactionsResponseTransactionState()
		s.TransactionalID, s.State, s.StartTimestamp = "somebody", "CompleteAbort", -1
		s.ProducerID, s.ProducerEpoch = id, epoch
		resp.TransactionStates = append(resp.TransactionStates, s)
		return resp, nil, true
	})
	if got := onCluster(t, addr, "txn list --hanging -o json"); !strings.Contains(got.stdout, `"hanging":true`) {
		t.Errorf("the hanging transaction is not listed: %+v", got)
	}
	producer := strconv.FormatInt(id, 10)
	plan := "ABORT the transaction of producer " + producer
	for args, want := range map[string]string{
		"txn repair --dry-run":                  plan,
		"txn repair --dry-run -o json":          `"decision":"abort"`,
		"txn repair --dry-run --producer 12345": "no transaction hangs",
	} {
		if got := onCluster(t, addr, args); got.code != ExitOK || !strings.Contains(got.stdout, want) {
			t.Errorf("%s: %+v", args, got)
		}
	}
	for answer, want := range map[string]int{"": ExitFailed, "yes\n": ExitFailed} {
		var stdout, stderr bytes.Buffer
		code := Main(t.Context(), Env{Stdin: strings.NewReader(answer), Stdout: &stdout, Stderr: &stderr}, []string{"txn", "repair", "--kafka", addr})
		if code != want || !strings.Contains(stdout.String(), plan) || !strings.Contains(stderr.String(), "not confirmed; nothing was done") {
			t.Errorf("answer %q: exit code %d, %s%s", answer, code, &stdout, &stderr)
		}
	}
	marked := make(chan *kmsg.WriteTxnMarkersRequest, 1)
	c.ControlKey(int16(kmsg.WriteTxnMarkers), func(r kmsg.Request) (kmsg.Response, error, bool) {
		marked <- r.(*kmsg.WriteTxnMarkersRequest)
		return r.ResponseKind(), nil, true
	})
	var stdout, stderr bytes.Buffer
	code := Main(t.Context(), Env{Stdin: strings.NewReader(producer + "\n"), Stdout: &stdout, Stderr: &stderr}, []string{"txn", "repair", "--kafka", addr})
	if code != ExitOK || !strings.HasSuffix(stdout.String(), "done\n") {
		t.Fatalf("exit code %d, %s%s", code, &stdout, &stderr)
	}
	if m := (<-marked).Markers; len(m) != 1 || m[0].ProducerID != id || m[0].Committed || len(m[0].Topics) != 1 || m[0].Topics[0].Topic != "words" {
		t.Errorf("markers %+v", m)
	}
}

// Without a broker each second a line names it, and then it is given up with an
// exit code of its own.
func TestClusterUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	got := tidemill(t, nil, "topic", "list", "--kafka", addr, "--kafka-give-up", "2200ms")
	if lines := strings.Count(got.stderr, "kafka: retrying"); got.code != ExitUnhealthy || got.stdout != "" || lines < 1 || lines > 3 ||
		strings.Count(got.stderr, addr) < lines+1 || !strings.Contains(got.stderr, "the log cannot be reached: gave up after ") {
		t.Errorf("%d lines: %+v", lines, got)
	}
}

func TestClusterUsage(t *testing.T) {
	t.Setenv("TIDEMILL_KAFKA_PASSWORD", "")
	for args, want := range map[string]string{
		"txn":                                  "There are: list, repair",
		"txn list":                             "--kafka is missing",
		"txn list extra":                       `unexpected argument "extra"`,
		"txn repair -o json --kafka a:1":       "add --dry-run or --yes",
		"txn repair --dry-run --yes":           "exclude each other",
		"txn list --kafka nowhere":             `"nowhere" is not host:port`,
		"group":                                "There are: describe",
		"group describe":                       "the argument GROUP is missing",
		"group describe g":                     "--kafka is missing",
		"topic create":                         "the argument TOPIC is missing",
		"topic create t --kafka a:1":           "--partitions is 0",
		"topic create t --partitions 1":        "--kafka is missing",
		"topic describe t":                     "--kafka is missing",
		"topic list --kafka-ca x":              "--kafka-ca without --kafka",
		"topic list --kafka a:1 --kafka-key x": "--kafka-cert and --kafka-key belong together",
		"topic list --kafka a:1 --kafka-sasl plain --kafka-user u": "set TIDEMILL_KAFKA_PASSWORD",
		"topic create t --partitions 1 --compact --retention 1h":   "exclude each other",
	} {
		got := tidemill(t, nil, strings.Fields(args)...)
		if got.code != ExitUsage || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exit code %d, %q%q, want %q", args, got.code, got.stdout, got.stderr, want)
		}
	}
	if got := tidemill(t, nil, "topic", "list", "-h"); !strings.Contains(got.stdout, "--kafka host:port") || strings.Contains(got.stdout, "kafka-password string") {
		t.Errorf("help: %s", got.stdout)
	}
}
