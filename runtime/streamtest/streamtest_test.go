package streamtest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(ms int64) time.Time { return time.UnixMilli(ms) }

// Through a repartition topic, on several partitions, with rows and outputs
// compared with a count in a map.
func TestCountAgainstModel(t *testing.T) {
	const seed, lines = 7, 25
	streamtest.Run(t, countWords, func(t *testing.T, d *streamtest.Driver) {
		random := rand.New(rand.NewPCG(seed, seed))
		in, out := streamtest.Input(d, words), streamtest.Output(d, counts)
		model := map[string]int64{}
		last := map[string]int64{}
		for i := range lines {
			line := fmt.Sprintf("w%d w%d", random.IntN(6), random.IntN(6))
			for w := range strings.FieldsSeq(line) {
				model[w]++
			}
			in.SendAt(fmt.Sprint("line", i), line, at(int64(i)))
			if i%10 == 9 {
				countUp(t, last, out.Records())
			}
		}
		countUp(t, last, out.Records())
		for w, n := range model {
			if last[w] != n {
				t.Errorf("seed %d: %s: last output %d, want %d", seed, w, last[w], n)
			}
		}
		rows := streamtest.Rows(d, wordCount)
		if len(rows) != len(model) {
			t.Errorf("%d rows, want %d: %v", len(rows), len(model), rows)
		}
		for _, r := range rows {
			if model[r.Key] != r.Value {
				t.Errorf("row %s is %d, want %d", r.Key, r.Value, model[r.Key])
			}
		}
		if !slices.IsSortedFunc(rows, func(a, b streamtest.Row[string, int64]) int { return strings.Compare(a.Key, b.Key) }) {
			t.Errorf("rows are not in key order: %v", rows)
		}
		if n := len(out.Records()); n != 0 {
			t.Errorf("%d records although nothing was sent", n)
		}
		if n := len(out.All()); n != 2*lines {
			t.Errorf("%d records in all, want %d", n, 2*lines)
		}
	})
}

// countUp checks that every update of a count is there once, in order.
func countUp(t *testing.T, last map[string]int64, records []processor.Record[string, int64]) {
	t.Helper()
	for _, r := range records {
		if r.Value != last[r.Key]+1 {
			t.Fatalf("%s goes from %d to %d at %s", r.Key, last[r.Key], r.Value, r.Origin)
		}
		last[r.Key] = r.Value
	}
}

func TestWindowsCloseOnce(t *testing.T) {
	streamtest.Run(t, sumMinutes, func(t *testing.T, d *streamtest.Driver) {
		in, out := streamtest.Input(d, readings), streamtest.Output(d, sums)
		in.SendAt("a", 1, at(1_000))
		in.SendAt("b", 2, at(2_000))
		in.SendAt("a", 4, at(59_999))
		in.SendAt("a", 8, at(69_999)) // within the grace of the first minute
		in.SendAt("b", 16, at(3_000))
		if got := textOf(out.Records()); got != "" {
			t.Errorf("open windows came out: %s", got)
		}
		in.SendAt("c", 32, at(70_000))
		in.SendAt("a", 64, at(4_000)) // late
		want := "a@[0,60000)=5@59999 b@[0,60000)=18@3000"
		if got := textOf(out.Records()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		rows := fmt.Sprint(streamtest.WindowRows(d, minuteSum))
		want = "[{a@[0,60000) 5 1970-01-01T00:00:59.999Z} {b@[0,60000) 18 1970-01-01T00:00:03.000Z} " +
			"{a@[60000,120000) 8 1970-01-01T00:01:09.999Z} {c@[60000,120000) 32 1970-01-01T00:01:10.000Z}]"
		if rows != want {
			t.Errorf("got  %s\nwant %s", rows, want)
		}
	})
}

func TestExpiredRowsAreHidden(t *testing.T) {
	streamtest.Run(t, sumMinutes, func(t *testing.T, d *streamtest.Driver) {
		in := streamtest.Input(d, readings)
		in.SendAt("a", 1, at(0))
		in.SendAt("a", 2, time.UnixMilli(0).Add(state.DefaultWindowRetention))
		in.SendAt("a", 3, time.UnixMilli(0).Add(2*state.DefaultWindowRetention))
		rows := streamtest.WindowRows(d, minuteSum)
		if len(rows) != 1 || rows[0].Value != 3 {
			t.Errorf("rows %v, want only that of the last window", rows)
		}
	})
}

func TestWallClock(t *testing.T) {
	streamtest.Run(t, ticking, func(t *testing.T, d *streamtest.Driver) {
		out := streamtest.Output(d, ticks)
		if !d.Clock().Equal(at(0)) {
			t.Fatalf("the clock begins at %v, want the epoch", d.Clock())
		}
		d.Advance(30 * time.Millisecond)
		d.Advance(20 * time.Millisecond)
		streamtest.Input(d, events).Send("k", "xyz")
		d.Advance(170 * time.Millisecond) // several intervals give one call
		d.Advance(29 * time.Millisecond)
		d.Advance(time.Millisecond)
		want := "tick=50@50 k=3@50 tick=220@220 tick=250@250"
		if got := textOf(out.Records()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// A user's crash loses what is not committed, and nothing else.
func TestRestart(t *testing.T) {
	for _, engine := range []streamtest.Engine{streamtest.Memory, streamtest.Pebble} {
		d := streamtest.New(t, countWords, streamtest.Mode{Engine: engine})
		in := streamtest.Input(d, words)
		in.Send("k", "a b a")
		d.Commit()
		in.Send("k", "a")
		d.Restart()
		d.Restart()
		if got := fmt.Sprint(streamtest.Rows(d, wordCount)); !strings.HasPrefix(got, "[{a 3 ") || !strings.Contains(got, "{b 1 ") {
			t.Errorf("%s: rows %s, want a 3 and b 1", engine, got)
		}
		if n := len(streamtest.Output(d, counts).All()); n != 4 {
			t.Errorf("%s: %d outputs, want 4", engine, n)
		}
	}
}

// Each schedule does what its name says: told by how often records are looked at.
func TestSchedules(t *testing.T) {
	const sent = 8
	for schedule, want := range map[streamtest.Schedule]int{
		streamtest.Straight: sent, streamtest.EveryCommit: sent, streamtest.EveryRestart: 2 * sent,
	} {
		looked := 0
		d := streamtest.New(t, peeking(&looked), streamtest.Mode{Schedule: schedule})
		sendMany(d, sent)
		if looked != want {
			t.Errorf("%s: records were processed %d times, want %d", schedule, looked, want)
		}
	}
}

func peeking(looked *int) func() (*topology.Topology, error) {
	return func() (*topology.Topology, error) {
		b := topology.New("peeking")
		topology.Source(b, events).Peek(func(processor.Record[string, string]) { *looked++ }).To(
			topology.Topic[string, string]{Name: "out", Key: events.Key, Value: events.Value})
		return b.Build()
	}
}

func sendMany(d *streamtest.Driver, n int) {
	in := streamtest.Input(d, events)
	for i := range n {
		in.Send("k", fmt.Sprint(i))
	}
}

// The random schedule is a function of its seed.
func TestSeedRepeats(t *testing.T) {
	run := func(seed uint64) (looked int) {
		sendMany(streamtest.New(t, peeking(&looked), streamtest.Mode{Schedule: streamtest.Random, Seed: seed}), 40)
		return looked
	}
	if a, b := run(11), run(11); a != b {
		t.Errorf("the same seed processed %d and %d records", a, b)
	}
	seen := map[int]bool{}
	for seed := range uint64(10) {
		seen[run(seed+1)] = true
	}
	if len(seen) < 2 {
		t.Error("ten seeds all did the same")
	}
}

func TestSeedFromEnvironment(t *testing.T) {
	t.Setenv("TIDEMILL_SEED", "4711")
	looked := 0
	d := streamtest.New(t, peeking(&looked), streamtest.Mode{Schedule: streamtest.Random})
	if d.Mode().Seed != 4711 {
		t.Errorf("seed %d, want the one of the environment", d.Mode().Seed)
	}
}

func TestModes(t *testing.T) {
	names := map[string]bool{}
	for _, m := range streamtest.Modes() {
		names[m.String()] = true
	}
	if len(names) != len(streamtest.Modes()) || len(names) != 12 {
		t.Errorf("%d modes with %d names, want 12 of each", len(streamtest.Modes()), len(names))
	}
}
