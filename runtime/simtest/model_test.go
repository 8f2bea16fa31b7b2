package simtest

import (
	"fmt"
	"math/rand/v2"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/topology"
)

// sent is one record of the source. Its value is its place there.
type sent struct {
	key  string
	time int64
}

func newSource(rng *rand.Rand, n int) []sent {
	records := make([]sent, n)
	now := int64(1000)
	for i := range records {
		now += rng.Int64N(12)
		at := now
		if rng.IntN(8) == 0 { // out of order, and now and then late
			at -= rng.Int64N(250)
		}
		records[i] = sent{key: fmt.Sprintf("k%d", rng.IntN(9)), time: at}
	}
	return records
}

func partitionOf(key string, n int32) int32 { return commitlog.Murmur2([]byte(key), n) }

// series is what a topic or store holds: values in order, by key. A key of a
// window is written key@start.
type series map[string][]int64

func (s series) add(key string, v int64) { s[key] = append(s[key], v) }

func windowKey(key string, start int64) string { return fmt.Sprintf("%s@%d", key, start) }

// expected is what a node that never crashed would have made of the source.
type expected struct {
	windowed, sampled, chained series
	windowRows, sampleRows     map[string]int64
	chainRows                  map[string]int64
	inputs                     map[int32][]int64 // values of the input topic, by partition
	regrouped                  [partitions]map[string][]int64
}

// expect processes the source partition by partition, as the tasks do.
func expect(source []sent, windows topology.Emission) *expected {
	e := &expected{windowed: series{}, sampled: series{}, chained: series{},
		windowRows: map[string]int64{}, sampleRows: map[string]int64{}, chainRows: map[string]int64{}, inputs: map[int32][]int64{}}
	for p := range int32(partitions) {
		e.regrouped[p] = map[string][]int64{}
		t := taskModel{e: e, partition: p, windows: windows, open: map[int64]map[string]int64{}, closed: -1}
		for i, r := range source {
			if partitionOf(r.key, partitions) == p {
				e.inputs[p] = append(e.inputs[p], int64(i))
				t.process(r, int64(i))
			}
		}
		for start, rows := range t.open {
			for key, v := range rows {
				e.windowRows[windowKey(key, start)] = v
			}
		}
	}
	return e
}

// taskModel is one task of the first sub-topology.
type taskModel struct {
	e         *expected
	partition int32
	windows   topology.Emission
	stream    int64 // stream time of the task
	filtered  int64 // stream time behind the filter
	tickDue   int64
	closed    int64                      // start of the newest window that has left
	open      map[int64]map[string]int64 // rows by window start
}

func (t *taskModel) process(r sent, v int64) {
	t.stream = max(t.stream, r.time)
	if kept(v) {
		t.filtered = max(t.filtered, r.time)
		t.window(r, v)
		t.e.sampleRows[r.key] = sumAndCount(t.e.sampleRows[r.key], v)
		t.e.sampled.add(r.key, t.e.sampleRows[r.key])
		g := groupOf(v)
		t.e.regrouped[t.partition][g] = append(t.e.regrouped[t.partition][g], v)
		t.e.chainRows[r.key] = link(t.e.chainRows[r.key], v)
		t.e.chained.add(r.key, t.e.chainRows[r.key])
	}
	t.close()
	if every := tickEvery.Milliseconds(); t.stream >= t.tickDue {
		t.tickDue = (t.stream/every + 1) * every
		t.e.chained.add(tickKey(t.partition), t.stream)
	}
}

func (t *taskModel) window(r sent, v int64) {
	size := windowSize.Milliseconds()
	start := r.time - r.time%size
	if t.windows != topology.OnClose {
		t.expire()
	}
	if start <= t.filtered-size-grace.Milliseconds() {
		return // late
	}
	if t.open[start] == nil {
		t.open[start] = map[string]int64{}
	}
	t.open[start][r.key] = sumAndCount(t.open[start][r.key], v)
	if t.windows == topology.OnUpdate {
		t.e.windowed.add(windowKey(r.key, start), t.open[start][r.key])
	}
}

// close lets the results of closed windows out, and then old rows expire.
func (t *taskModel) close() {
	size := windowSize.Milliseconds()
	through := t.filtered - size - grace.Milliseconds()
	if t.windows != topology.OnClose || through < 0 || through-through%size <= t.closed {
		return
	}
	through -= through % size
	for start, rows := range t.open {
		if start > t.closed && start <= through {
			for key, v := range rows {
				t.e.windowed.add(windowKey(key, start), v)
			}
		}
	}
	t.closed = through
	t.expire()
}

func (t *taskModel) expire() {
	for start := range t.open {
		if start < t.filtered-retention.Milliseconds()+1 {
			delete(t.open, start)
		}
	}
}

// groups replays the repartition topic as it was written: which of its writers
// came first is not defined, everything behind that is.
func groups(topic [][]record) (out series, rows map[string]int64) {
	out, rows = series{}, map[string]int64{}
	for _, partition := range topic {
		for _, r := range partition {
			rows[r.key] = sumAndCount(rows[r.key], r.value)
			out.add(r.key, rows[r.key])
		}
	}
	return out, rows
}
