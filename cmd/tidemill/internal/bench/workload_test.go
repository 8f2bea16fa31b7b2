package bench

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

// digest is over everything that makes a workload what it is, flush records and
// placement included.
func digest(t *testing.T, j Job) uint64 {
	t.Helper()
	h := fnv.New64a()
	err := j.eachInput(func(partition int32, at int64, key, value []byte) error {
		var b []byte
		b = binary.BigEndian.AppendUint32(b, uint32(partition))
		b = binary.BigEndian.AppendUint64(b, uint64(at))
		_, err := h.Write(append(append(b, key...), value...))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return h.Sum64()
}

// Figures of different versions compare only if the input is the same to the
// bit, so it is pinned.
func TestWorkloadIsPinned(t *testing.T) {
	for _, c := range []struct {
		workload                  string
		keys, n, partitions       int
		digest                    uint64
		records, results, dropped int64
	}{
		{Hourly, 13, 7, 2, 0x3bf42bc466945d7, 91, 34, 0},
		{Hourly, 1000, 40, 2, 0xc1dcc05935351d48, 40_000, 10_492, 114},
		{Hourly, 500, 9, 3, 0xc2f7007f45c6d96b, 4500, 1492, 13},
		{Count, 300, 5000, 2, 0xe7475240a89bb127, 5000, 0, 0},
	} {
		j := Job{Workload: c.workload, Keys: c.keys, N: c.n, Partitions: c.partitions}
		if got := digest(t, j); got != c.digest {
			t.Errorf("%s %d x %d: digest %#x, want %#x", c.workload, c.keys, c.n, got, c.digest)
		}
		if got := int64(len(j.readings())); got != c.records || got != j.Records() {
			t.Errorf("%s %d x %d: %d records, want %d", c.workload, c.keys, c.n, got, c.records)
		}
		if c.workload != Hourly {
			continue
		}
		if e := j.expectHourly(); e.results() != c.results || e.dropped != c.dropped {
			t.Errorf("%s %d x %d: %d results, %d dropped, want %d and %d", c.workload, c.keys, c.n, e.results(), e.dropped, c.results, c.dropped)
		}
	}
}

// The offline computation against a direct one, with a map.
func TestExpectHourly(t *testing.T) {
	j := Job{Workload: Hourly, Keys: 40, N: 90, Partitions: 3}
	type window struct {
		meter uint32
		start int64
	}
	sums, ns, now := map[window]float64{}, map[window]int64{}, map[int32]int64{}
	places := j.places()
	for _, r := range j.readings() {
		p := places[r.key]
		now[p] = max(now[p], r.at)
		w := window{r.key, r.at / 3_600_000 * 3_600_000}
		if w.start+4_500_000 > now[p] {
			sums[w] += r.kwh
			ns[w]++
		}
	}
	e := j.expectHourly()
	if int64(len(sums)) != e.results() {
		t.Fatalf("%d windows, want %d", e.results(), len(sums))
	}
	for w, sum := range sums {
		i, ok := e.cell(w.meter, w.start)
		if !ok || math.Float64bits(e.cells[i].value()) != math.Float64bits(sum/float64(ns[w])) {
			t.Errorf("meter %d at %d: cell %d, %v", w.meter, w.start, i, ok)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, k := range []uint32{0, 9, 10, 1234567, 9999999} {
		if got, ok := parseKey(appendKey(nil, k)); !ok || got != k {
			t.Errorf("key %d came back as %d, %v", k, got, ok)
		}
	}
	for _, bad := range []string{"", "m", "m123456", "m12345678", "x1234567", "m12345a7", "~flush-0"} {
		if k, ok := parseKey([]byte(bad)); ok {
			t.Errorf("%q was read as key %d", bad, k)
		}
	}
}

func TestMeanSerde(t *testing.T) {
	serdetest.Run(t, meanSerde{}, []mean{{}, {1.5, 3}, {-0.25, math.MaxInt64}, {math.Inf(1), -1}}, nil)
	for _, n := range []int{0, 1, 15, 17, 32} {
		if _, err := (meanSerde{}).Decode(make([]byte, n)); err == nil {
			t.Errorf("%d bytes were decoded", n)
		}
	}
}

func TestJobCheck(t *testing.T) {
	good := Job{Workload: Hourly, Keys: 1, N: 1, Partitions: 1, Workers: 1, Emit: EmitClose, CommitInterval: time.Millisecond}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Job){
		"no keys":         func(j *Job) { j.Keys = 0 },
		"many keys":       func(j *Job) { j.Keys = maxKeys + 1 },
		"no rounds":       func(j *Job) { j.N = 0 },
		"overflow":        func(j *Job) { j.Keys, j.N = maxKeys, maxRecords },
		"no partitions":   func(j *Job) { j.Partitions = 0 },
		"many partitions": func(j *Job) { j.Partitions = 1025 },
		"no workers":      func(j *Job) { j.Workers = 0 },
		"no interval":     func(j *Job) { j.CommitInterval = 0 },
		"no emission":     func(j *Job) { j.Emit = "" },
		"count on close":  func(j *Job) { j.Workload = Count },
	} {
		j := good
		spoil(&j)
		if err := j.Check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
