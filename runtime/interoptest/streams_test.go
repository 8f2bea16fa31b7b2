package interoptest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

const (
	meterPartitions = 2
	meterCount      = 250
	meterRounds     = 400 // one reading of each meter every 15 minutes
	meterSeed       = 4301
	windowSize      = time.Hour
)

// mean is the state, as in testdata/HourlyMean.java. Sums of floats depend on the
// order of their terms: bits are equal only if both have the same.
type mean struct {
	Sum float64
	N   int64
}

func (m mean) add(v float64) mean { return mean{m.Sum + v, m.N + 1} }
func (m mean) value() float64     { return m.Sum / float64(m.N) }

var (
	consumption = topology.Topic[string, float64]{Name: "consumption", Partitions: meterPartitions, Key: serde.String, Value: serde.Float64}
	ourUpdates  = windowedTopic("our-updates")
	ourFinals   = windowedTopic("our-finals")
	runningMean = state.Window("running-mean", serde.String, serde.JSON[mean]())
	finalMean   = state.Window("final-mean", serde.String, serde.JSON[mean]())
)

// The topics that Kafka Streams writes.
const theirUpdates, theirFinals, theirReading = "their-updates", "their-finals", "their-reading"

func windowedTopic(name string) topology.Topic[state.Windowed[string], float64] {
	return topology.Topic[state.Windowed[string], float64]{Name: name, Partitions: meterPartitions,
		Key: serde.TimeWindowed(serde.String, windowSize), Value: serde.Float64}
}

func hourlyMean() (*topology.Topology, error) {
	b := topology.New("hourly")
	hours := topology.Source(b, consumption).GroupByKey().WindowedBy(topology.Tumbling(windowSize).Grace(15 * time.Minute))
	running := topology.Aggregate(hours.Emit(topology.OnUpdate), topology.Fold(mean.add), runningMean)
	topology.MapValues(running.ToStream(), mean.value).To(ourUpdates)
	final := topology.Aggregate(hours.Emit(topology.OnClose), topology.Fold(mean.add), finalMean)
	topology.MapValues(final.ToStream(), mean.value).To(ourFinals)
	return b.Build()
}

// readings are what meters send: in disorder of up to ten minutes, and one in 200 of
// them 20 to 90 minutes late, mostly too late to count. A last record in each
// partition closes all windows.
func readings() (rows []row) {
	rng := rand.New(rand.NewPCG(meterSeed, 1))
	begin := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	const minute = int64(time.Minute / time.Millisecond)
	late := map[int][]row{} // by the round in which they come
	for round := range meterRounds {
		now := append([]row{}, late[round]...)
		for m := range meterCount {
			key := fmt.Sprintf("m%07d", m)
			at := begin + int64(round)*15*minute + rng.Int64N(10*minute) - 5*minute
			r := row{commitlog.Murmur2([]byte(key), meterPartitions), key, float64Bytes(rng.Float64() * 4), at}
			if rng.IntN(200) == 0 {
				then := round + (20+rng.IntN(71))/15
				late[then] = append(late[then], r)
				continue
			}
			now = append(now, r)
		}
		rng.Shuffle(len(now), func(i, j int) { now[i], now[j] = now[j], now[i] })
		rows = append(rows, now...)
	}
	for p := range int32(meterPartitions) {
		rows = append(rows, row{p, flushKey(p), float64Bytes(0), begin + meterRounds*15*minute + 2*60*minute})
	}
	return rows
}

// flushKey finds a key of a partition: the result of one that lies elsewhere goes
// to another partition, whose order two tasks then share.
func flushKey(partition int32) string {
	for i := 0; ; i++ {
		if key := fmt.Sprintf("~flush-%d", i); commitlog.Murmur2([]byte(key), meterPartitions) == partition {
			return key
		}
	}
}

func float64Bytes(v float64) string {
	return string(binary.BigEndian.AppendUint64(nil, math.Float64bits(v)))
}

// streams: the same input gives the same results, in Kafka Streams and here. Every
// update is compared, in the order of its partition, with its time: late records
// have to be dropped at the same places.
func (b *bench) streams(t *testing.T) {
	b.createTopics(t, meterPartitions, consumption.Name, ourUpdates.Name, ourFinals.Name, theirUpdates, theirFinals, theirReading)
	l, input := b.open(t), readings()
	write(t, l, consumption.Name, input)
	app, stop := start(t, hourlyMean, config(t.TempDir(), b.plain()))
	processed(t, app)

	b.runStreams(t, l)

	ours, theirs := readAll(t, l, ourUpdates.Name).rows, readAll(t, l, theirUpdates).rows
	if len(ours) >= len(input) || len(ours) < len(input)*98/100 {
		t.Errorf("%d updates of %d readings: want a few readings to be too late", len(ours), len(input))
	}
	if found := differences(ours, theirs); found != nil {
		t.Errorf("updates (seed %d): %q", meterSeed, found)
	}
	ourLast, theirLast := readAll(t, l, ourFinals.Name).rows, readAll(t, l, theirFinals).rows
	if found := differences(sorted(ourLast), sorted(theirLast)); found != nil || len(ourLast) == 0 {
		t.Errorf("final results, %d (seed %d): %q", len(ourLast), meterSeed, found)
	}
	t.Logf("compared bit by bit: %d readings, %d updates and %d final results", len(input), len(ours), len(ourLast))
	b.wantReadByThem(t, l, ours)
	b.wantReadByUs(t, app, theirs)
	stop()
}

// runStreams runs the Java program until it has processed everything.
func (b *bench) runStreams(t *testing.T, l commitlog.Log) {
	t.Helper()
	const group = "hourly-in-java"
	cmd := b.Command(t.Context(), "testdata/HourlyMean.java", b.Addr(), group, t.TempDir(), consumption.Name, theirUpdates, theirFinals, ourUpdates.Name, theirReading)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	stdin, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	waited := awaitGroup(t.Context(), l, group, ended, consumption.Name, ourUpdates.Name)
	// The end of its input is what it stops at.
	closed := stdin.Close()
	if waited == nil {
		waited = <-ended
	}
	if err := errors.Join(waited, closed); err != nil {
		t.Fatalf("Kafka Streams: %v: %s", err, said.String())
	}
}

// awaitGroup waits until a group stands at the end of topics, or its program ends.
func awaitGroup(ctx context.Context, l commitlog.Log, group string, ended <-chan error, topics ...string) error {
	for began := time.Now(); ; {
		done, err := atEnd(ctx, l, group, topics)
		if err != nil || done {
			return err
		}
		if time.Since(began) > patience {
			return fmt.Errorf("group %s is not at the end of %v after %v", group, topics, patience)
		}
		select {
		case err := <-ended:
			return fmt.Errorf("it has ended too early: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func atEnd(ctx context.Context, l commitlog.Log, group string, topics []string) (bool, error) {
	offsets, err := l.GroupOffsets(ctx, group)
	if err != nil {
		return false, err
	}
	for _, topic := range topics {
		for p := range int32(meterPartitions) {
			tp := commitlog.TopicPartition{Topic: topic, Partition: p}
			bounds, err := l.Bounds(ctx, tp)
			if err != nil || offsets[tp].Offset < bounds.StableEnd {
				return false, err
			}
		}
	}
	return true, nil
}

func windowText(key string, from, to int64) string { return fmt.Sprintf("%s@%d-%d", key, from, to) }

// wantReadByThem: Kafka Streams has read our windowed keys as they were meant.
func (b *bench) wantReadByThem(t *testing.T, l commitlog.Log, ours []row) {
	t.Helper()
	windowed := serde.TimeWindowed(serde.String, windowSize)
	var want []row
	for _, r := range ours {
		k, err := windowed.Decode([]byte(r.key))
		must(t, err)
		want = append(want, row{key: windowText(k.Key, int64(k.Start), int64(k.End)), value: r.value})
	}
	if found := differences(sorted(want), sorted(readAll(t, l, theirReading).rows)); found != nil {
		t.Errorf("our windowed topic, as Kafka Streams reads it: %q", found)
	}
}

// wantReadByUs: we read the windowed keys of Kafka Streams as they were meant,
// which their bytes say: the key, and the start of the window.
func (b *bench) wantReadByUs(t *testing.T, app *runtime.App, theirs []row) {
	t.Helper()
	s, err := runtime.Subscribe(t.Context(), app, windowedTopic(theirUpdates), "")
	must(t, err)
	defer s.Close()
	var got, want []row
	for _, r := range theirs {
		record, err := s.Next(t.Context())
		must(t, err)
		k := record.Key
		got = append(got, row{key: windowText(k.Key, int64(k.Start), int64(k.End)), value: float64Bytes(record.Value)})
		n := len(r.key) - 8
		from := int64(binary.BigEndian.Uint64([]byte(r.key[n:])))
		want = append(want, row{key: windowText(r.key[:n], from, from+windowSize.Milliseconds()), value: r.value})
	}
	if found := differences(sorted(got), sorted(want)); found != nil {
		t.Errorf("the windowed topic of Kafka Streams, as we read it: %q", found)
	}
}
