package interoptest

import (
	"fmt"
	"hash/fnv"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

const (
	linePartitions = 3
	lineKeys       = 20
	linesEach      = 200 // by each producer
)

var (
	lines    = topology.Topic[string, string]{Name: "lines", Partitions: linePartitions, Key: serde.String, Value: serde.String}
	totals   = topology.Topic[string, string]{Name: "totals", Partitions: linePartitions, Key: serde.String, Value: serde.String}
	lineSums = state.KeyValue("line-sums", serde.String, serde.JSON[lineSum]())
)

// lineSum depends on every byte of every line, and on their order.
type lineSum struct {
	N   int64
	Sum uint32
}

func (s lineSum) add(line string) lineSum {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%d %s", s.Sum, line) // a hash takes everything
	return lineSum{s.N + 1, h.Sum32()}
}

func (s lineSum) String() string { return fmt.Sprintf("%d:%08x", s.N, s.Sum) }

func sumLines() (*topology.Topology, error) {
	b := topology.New("summing")
	sums := topology.Aggregate(topology.Source(b, lines).GroupByKey(), topology.Fold(lineSum.add), lineSums)
	topology.MapValues(sums.ToStream(), lineSum.String).To(totals)
	return b.Build()
}

// sent is what has been written, by key.
type sent struct {
	sums map[string]lineSum
	n    int
}

// next makes the lines of one producer, as the console tools want them: key, tab,
// value. Repeated text makes compression worth its while, and not all is ASCII.
func (s *sent) next(producer string) string {
	var text strings.Builder
	for i := range linesEach {
		key, value := fmt.Sprintf("Zähler %02d", i*7%lineKeys), fmt.Sprintf("%s %d %s", producer, i, strings.Repeat("Maß für Maß, ", 8))
		fmt.Fprintf(&text, "%s\t%s\n", key, value)
		s.sums[key] = s.sums[key].add(value)
		s.n++
	}
	return text.String()
}

// tools: what Kafka's own producer and kcat write is processed, in every codec, and
// what comes of it is seen by Kafka's own consumer and group command as it should.
func (b *bench) tools(t *testing.T) {
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Fatalf("%v: install it (apt-get install kcat, brew install kcat)", err)
	}
	b.createTopics(t, linePartitions, lines.Name, totals.Name)
	l, dir, in := b.open(t), t.TempDir(), &sent{sums: map[string]lineSum{}}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		b.javaProduces(t, codec, in.next("Java "+codec))
	}
	app, stop := start(t, sumLines, config(dir, b.plain()))
	processed(t, app)
	stop()

	before := in.n
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		b.kcatProduces(t, kcat, codec, in.next("kcat "+codec))
	}
	if lag := b.lag(t, app.App()); lag != in.n-before {
		t.Errorf("kafka-consumer-groups shows a lag of %d, want the %d records that were written while nothing ran", lag, in.n-before)
	}
	app, _ = start(t, sumLines, config(dir, b.plain()))
	processed(t, app)
	within(t, func() error {
		if lag := b.lag(t, app.App()); lag != 0 {
			return fmt.Errorf("everything is processed and the lag is %d", lag)
		}
		return nil
	})
	b.wantMember(t, app.App())

	b.wantEveryCodec(t, l)
	b.wantTotals(t, l, in)
	b.wantChangelog(t, l, in)
}

func (b *bench) javaProduces(t *testing.T, codec, text string) {
	t.Helper()
	_, err := b.ToolWithInput(t.Context(), strings.NewReader(text), kafkatest.ToolConsoleProducer, "--topic", lines.Name,
		"--compression-codec", codec, "--property", "parse.key=true")
	must(t, err)
}

// kcatProduces writes with another family of clients. Its own partitioner is CRC-32;
// like Java is an option, which everybody sets who shares topics with Java.
func (b *bench) kcatProduces(t *testing.T, kcat, codec, text string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), kcat, "-b", b.Addr(), "-P", "-t", lines.Name, "-K", "\t", "-z", codec, "-X", "topic.partitioner=murmur2_random")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", cmd, err, out)
	}
}

// consume lets the console consumer read a topic to its end: so many records, with
// their partitions.
func (b *bench) consume(t *testing.T, topic string, n int) (rows []row) {
	t.Helper()
	const field, record = "<field>", "<record>"
	out, err := b.Tool(t.Context(), kafkatest.ToolConsoleConsumer, "--topic", topic, "--from-beginning", "--isolation-level", "read_committed",
		"--max-messages", strconv.Itoa(n), "--timeout-ms", strconv.Itoa(int(patience.Milliseconds())), "--property", "print.key=true",
		"--property", "print.partition=true", "--property", "key.separator="+field, "--property", "line.separator="+record)
	must(t, err)
	// Before the records, newer versions print that --property will have another name.
	_, out, _ = strings.Cut(out, "Partition:")
	for part := range strings.SplitSeq(strings.TrimSuffix(out, record), record) {
		fields := strings.SplitN(part, field, 3)
		partition, err := strconv.Atoi(strings.TrimPrefix(fields[0], "Partition:"))
		if err != nil || len(fields) != 3 {
			t.Fatalf("the console consumer prints %q", part)
		}
		rows = append(rows, row{partition: int32(partition), key: fields[1], value: fields[2]})
	}
	return rows
}

// describeGroup runs kafka-consumer-groups and returns the columns of each row.
func (b *bench) describeGroup(t *testing.T, group string, more ...string) (rows []map[string]string) {
	t.Helper()
	out, err := b.Tool(t.Context(), kafkatest.ToolGroups, append([]string{"--describe", "--group", group}, more...)...)
	must(t, err)
	var head []string
	for line := range strings.Lines(out) {
		switch fields := strings.Fields(line); {
		case len(fields) > 0 && fields[0] == "GROUP":
			head = fields
		case len(fields) > 0 && fields[0] == group && len(fields) >= len(head):
			columns := map[string]string{}
			for i, name := range head {
				columns[name] = fields[i]
			}
			rows = append(rows, columns)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("kafka-consumer-groups says of %s: %s", group, out)
	}
	return rows
}

func (b *bench) lag(t *testing.T, group string) (sum int) {
	t.Helper()
	rows := b.describeGroup(t, group)
	for _, columns := range rows {
		n, err := strconv.Atoi(columns["LAG"])
		if err != nil || columns["TOPIC"] != lines.Name {
			t.Fatalf("kafka-consumer-groups shows %v", columns)
		}
		sum += n
	}
	if len(rows) != linePartitions {
		t.Errorf("kafka-consumer-groups shows %d partitions, want %d", len(rows), linePartitions)
	}
	return sum
}

// wantMember: whoever runs the application is in the group, as the tool sees it.
func (b *bench) wantMember(t *testing.T, group string) {
	t.Helper()
	rows := b.describeGroup(t, group, "--members")
	if len(rows) != 1 || rows[0]["CLIENT-ID"] != "tidemill" || !strings.Contains(rows[0]["HOST"], "127.0.0.1") {
		t.Errorf("kafka-consumer-groups --members shows %v, want this process", rows)
	}
}

// wantEveryCodec: had the producers not compressed, the test would show less.
func (b *bench) wantEveryCodec(t *testing.T, l commitlog.Log) {
	t.Helper()
	in := readAll(t, l, lines.Name)
	for codec := range recordbatch.Codec(5) {
		if in.codecs[codec] == 0 {
			t.Errorf("no batch of %s has codec %v: %v", lines.Name, codec, in.codecs)
		}
	}
	for _, r := range in.rows {
		if want := commitlog.Murmur2([]byte(r.key), linePartitions); r.partition != want {
			t.Fatalf("the producers place %q in partition %d, we in %d", r.key, r.partition, want)
		}
	}
}

// wantTotals: each line has one result, and the last of each key is of all its
// lines. The tool's rows are ours, byte by byte, partition by partition.
func (b *bench) wantTotals(t *testing.T, l commitlog.Log, in *sent) {
	t.Helper()
	ours := readAll(t, l, totals.Name).rows
	if len(ours) != in.n {
		t.Errorf("%d results of %d lines", len(ours), in.n)
	}
	theirs := b.consume(t, totals.Name, len(ours))
	if found := differences(sorted(ours), sorted(theirs)); found != nil {
		t.Errorf("%s as the console consumer reads it: %q", totals.Name, found)
	}
	for key, value := range last(theirs) {
		if want := in.sums[key].String(); value != want {
			t.Errorf("%s: the last total is %s, want %s", key, value, want)
		}
	}
	for _, r := range theirs {
		if want := commitlog.Murmur2([]byte(r.key), linePartitions); r.partition != want {
			t.Errorf("%q is in partition %d, a Java program expects it in %d", r.key, r.partition, want)
		}
	}
}

// wantChangelog: its keys and values are those of the store, as plain as in the
// changelogs of Kafka Streams.
func (b *bench) wantChangelog(t *testing.T, l commitlog.Log, in *sent) {
	t.Helper()
	topic := "summing-line-sums-changelog"
	theirs := last(b.consume(t, topic, len(readAll(t, l, topic).rows)))
	if len(theirs) != len(in.sums) {
		t.Errorf("%s has %d keys, want %d", topic, len(theirs), len(in.sums))
	}
	for key, value := range theirs {
		want, err := serde.JSON[lineSum]().Append(nil, in.sums[key])
		must(t, err)
		if value != string(want) {
			t.Errorf("%s, key %q: the console consumer reads %q, want %s", topic, key, value, want)
		}
	}
}
