package main

import (
	"crypto/rand"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/examples/kafkaflags"
)

// emulated is an emulated broker with the topics of the example, of three
// partitions, unless there are to be none.
func emulated(t *testing.T, topics bool, opts ...kfake.Opt) (addr string) {
	t.Helper()
	opts = append(opts, kfake.NumBrokers(1), kfake.DefaultNumPartitions(1))
	if topics {
		opts = append(opts, kfake.SeedTopics(3, "meter-readings", "meter-hourly-average", "meter-last-hour-average"))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// The same program on Kafka: same results, and a second start goes on.
func TestOnKafka(t *testing.T) {
	addr, dir, file, out := emulated(t, true), t.TempDir(), filepath.Join(t.TempDir(), "r.csv"), filepath.Join(t.TempDir(), "o.csv")
	text := header + "\n" + lines(300)
	write(t, file, text)
	args := []string{"-kafka", addr, "-dir", dir, "-out", out}
	stdout, stderr := mustRun(t, "", args...)
	contains(t, stdout, "processing meter-readings\nnothing is sent by this process; -readings sample would", "0 hourly results",
		"the log is on Kafka at "+addr+", the state in "+dir)
	if stderr != "" {
		t.Errorf("standard error: %s", stderr)
	}
	for range 2 {
		stdout, _ = mustRun(t, "", append(args, "-readings", file)...)
		if v := judge(compute(t, []byte(text), 3), "update", readOutput(t, out)); v != (verdict{}) {
			t.Error(v)
		}
	}
	contains(t, stdout, "continuing "+file+" behind line 301", "0 readings sent")
}

// Of two that import, the later goes on where the earlier was; that one keeps
// processing.
func TestReplacedImport(t *testing.T) {
	addr, file := emulated(t, true), filepath.Join(t.TempDir(), "r.csv")
	write(t, file, lines(40))
	stdin, feed := pipe(t)
	first := make(chan string, 1)
	go func() {
		var out lockedBuffer
		code := command(t.Context(), []string{"-listen", "", "-kafka", addr, "-dir", t.TempDir(), "-readings", "-", "-exit"}, stdin, &out, &out)
		first <- out.String() + exitText(code)
	}()
	feed(lines(20))
	waitForOutput(t, addr, 20)
	mustRun(t, "", "-kafka", addr, "-dir", t.TempDir(), "-readings", file)
	feed("m1,2018-11-29T00:00:00Z,1\n")
	contains(t, <-first, "another process has begun to send readings; this one goes on processing", "exit code 0")
}

// screenOf is the whole screen of a run that ends by itself, without times.
func screenOf(t *testing.T, args ...string) (code int, screen string) {
	t.Helper()
	code, stdout, stderr := meters(t.Context(), "", append(args, "-exit")...)
	return code, regexp.MustCompile(`time=\S+ `).ReplaceAllString(stdout+stderr, "")
}

// missing is what the screen says about a topic that does not exist.
func missing(at, topic string) string {
	return "\n  topic " + topic + ": unknown topic or partition: it does not exist; create it with \"kafka-topics.sh --bootstrap-server " + at +
		" --create --topic " + topic + " --partitions 4\", or set Config.CreateTopics"
}

// What is wrong with the cluster is said in full, with what to do about it.
func TestBadClusters(t *testing.T) {
	seeded, empty := emulated(t, true), emulated(t, false)
	wrong := emulated(t, true, kfake.SeedTopics(3, "meter-average-hourly-mean-changelog"))
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"missing topic": {[]string{"-kafka", empty}, exitFailed, "meters: open Kafka at " + empty + ": " +
			missing(empty, "meter-readings") + missing(empty, "meter-hourly-average") + missing(empty, "meter-last-hour-average") +
			"\n  or let this program create its topics with -kafka-create-topics\n"},
		"partition counts": {[]string{"-kafka", seeded, "-partitions", "5"}, exitFailed, "meters: open Kafka at " + seeded + ": topic meter-readings: " +
			"it has 3 partitions, the topology declares 5; keys would move between partitions: declare 3, or use another topic\n"},
		"internal topic": {[]string{"-kafka", wrong}, exitFailed, "topic meter-average-hourly-mean-changelog exists with another configuration (cleanup.policy: have delete, " +
			"want compact,delete (mend with: kafka-configs --bootstrap-server " + wrong + " --entity-type topics --entity-name meter-average-hourly-mean-changelog " +
			"--alter --add-config 'cleanup.policy=[compact,delete]')"},
	} {
		code, screen := screenOf(t, append(c.args, "-dir", t.TempDir())...)
		if code != c.code || !strings.Contains(screen, c.want) || strings.Count(screen, "\n") != strings.Count(c.want, "\n")+1-strings.Count(c.want[len(c.want)-1:], "\n") {
			t.Errorf("%s: exit code %d, want %d, and the screen\n%s\nwant\n%s", name, code, c.code, screen, c.want)
		}
	}
	code, screen := screenOf(t, "-kafka", empty, "-kafka-create-topics", "-dir", t.TempDir())
	if code != exitOK {
		t.Errorf("with topics created: exit code %d, %s", code, screen)
	}
}

// No broker: every second or two a line that names it, then an exit code of its own.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	code, screen := screenOf(t, "-kafka", addr, "-kafka-give-up", "3200ms", "-dir", t.TempDir())
	all := strings.Split(strings.TrimSpace(screen), "\n")
	for i, line := range all {
		want := `level=WARN msg="kafka: retrying"`
		if i == len(all)-1 {
			want = "meters: open Kafka at " + addr + ": kafka: connect: the log cannot be reached: gave up after "
		}
		contains(t, line, want, addr)
	}
	if code != exitUnreachable || len(all) < 2 || len(all) > 5 {
		t.Errorf("exit code %d, screen\n%s", code, screen)
	}
}

// A permission that lacks is named with its resource, and the password never.
func TestDenied(t *testing.T) {
	secret := rand.Text()
	t.Setenv(kafkaflags.PasswordEnv, secret)
	all := func(resource kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
	}
	addr := emulated(t, true, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("SCRAM-SHA-256", "admin", "admin"),
		kfake.User("SCRAM-SHA-256", "alice", secret, all(kmsg.ACLResourceTypeTopic, "meter-readings", kmsg.ACLOperationRead),
			all(kmsg.ACLResourceTypeTopic, "meter-readings", kmsg.ACLOperationDescribeConfigs)))
	login := []string{"-kafka", addr, "-kafka-tls=false", "-kafka-sasl", "SCRAM-SHA-256", "-kafka-user", "alice", "-dir", t.TempDir()}
	code, screen := screenOf(t, login...)
	if code != exitFailed || strings.Contains(screen, secret) {
		t.Errorf("exit code %d, screen\n%s", code, screen)
	}
	contains(t, screen, "meters: open Kafka at "+addr+": topic meter-hourly-average: ", "a permission that this user lacks; grant DESCRIBE on topic meter-hourly-average\n")

	t.Setenv(kafkaflags.PasswordEnv, "not-"+secret)
	code, screen = screenOf(t, append(login, "-kafka-give-up", "2s")...)
	if code == exitOK || strings.Contains(screen, secret) { // the emulated broker ends the connection without a word
		t.Errorf("wrong password: exit code %d, screen\n%s", code, screen)
	}
}

func TestWrongKafkaFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-kafka nowhere":                  `"nowhere" is not host:port`,
		"-instance a":                     "-instance without -kafka",
		"-prefix x":                       "-prefix without -kafka",
		"-kafka-ca x":                     "-kafka-ca without -kafka",
		"-kafka a:1 -prefix a/b":          `-prefix "a/b" may have letters`,
		"-kafka a:1 -session-timeout 1ms": "too short",
		"-kafka a:1 -session-timeout 5s -kafka-transaction-timeout 5s": "must be below -session-timeout 5s",
	} {
		code, stdout, stderr := meters(t.Context(), "", strings.Fields(args)...)
		if code != exitUsage || stdout != "" {
			t.Errorf("%s: exit code %d, stdout %q", args, code, stdout)
		}
		contains(t, stderr, "Usage: meters", want)
	}
}
