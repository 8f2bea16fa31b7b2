package embedded

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// long says that the long forms of the fault tests are wanted: TIDEMILL_LONG=1.
var long = os.Getenv("TIDEMILL_LONG") == "1"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

const (
	modelPartitions = 3
	modelGroup      = "group-of-"
)

// txnState is what the model knows about a transaction.
type txnState int

const (
	txnAborted txnState = iota // never committed: nothing of it may show
	txnStarted                 // commit called, not acknowledged: all or nothing
	txnAcked                   // acknowledged: all of it
)

// modelTxn is one transaction as the test wrote it. Values are unique.
type modelTxn struct {
	id     int
	writer string
	state  txnState
	values [modelPartitions][]string
	ranges map[commitlog.TopicPartition]commitlog.Range
	offset int64 // committed for the writer's group, -1 for none
}

// model is the oracle of the fault tests: what was done, in each writer's order.
type model struct {
	mu     sync.Mutex
	txns   []*modelTxn
	epochs map[string]int64 // acknowledged
	topics map[string]bool  // acknowledged creations
}

func newModel() *model {
	return &model{epochs: map[string]int64{}, topics: map[string]bool{}}
}

// snapshot copies what is known at a moment; a crash is checked against the
// copies from before and after it.
func (m *model) snapshot() *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newModel()
	for _, t := range m.txns {
		copied := *t
		c.txns = append(c.txns, &copied)
	}
	for id, e := range m.epochs {
		c.epochs[id] = e
	}
	for name := range m.topics {
		c.topics[name] = true
	}
	return c
}

// merge takes from after what had begun meanwhile, as begun but not acknowledged.
func (m *model) merge(after *model) {
	for i, t := range after.txns {
		switch {
		case i >= len(m.txns):
			if t.state == txnAcked {
				t.state = txnStarted
			}
			m.txns = append(m.txns, t)
		case m.txns[i].state == txnAborted && t.state != txnAborted:
			t.state = txnStarted
			m.txns[i] = t
		}
	}
}

func (m *model) set(t *modelTxn, state txnState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.state = state
}

// verdict counts what a check found.
type verdict struct {
	acked, lost, dup, wrong int
	notes                   []string
}

func (v *verdict) note(format string, args ...any) {
	if len(v.notes) < 10 {
		v.notes = append(v.notes, fmt.Sprintf(format, args...))
	}
}

func (v *verdict) add(o verdict) {
	v.acked, v.lost, v.dup, v.wrong = v.acked+o.acked, v.lost+o.lost, v.dup+o.dup, v.wrong+o.wrong
	for _, n := range o.notes {
		v.note("%s", n)
	}
}

func (v *verdict) bad() bool { return v.lost+v.dup+v.wrong > 0 }

func (v *verdict) line(name string, seed any) string {
	return fmt.Sprintf("%s seed=%v acked=%d lost=%d dup=%d wrong=%d", name, seed, v.acked, v.lost, v.dup, v.wrong)
}

// run writes count transactions under one identity. It ends early, without an
// error, when stopped says so or when the log refuses.
func (m *model) run(l *Log, id string, rng *rand.Rand, count int, stopped func() bool) error {
	w, err := l.OpenWriter(ctx, id)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.epochs[id] = w.Epoch()
	m.mu.Unlock()
	for range count {
		if stopped() {
			return nil
		}
		if err := m.transact(w, rng); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) transact(w commitlog.Writer, rng *rand.Rand) error {
	m.mu.Lock()
	t := &modelTxn{id: len(m.txns), writer: w.ID(), offset: -1}
	m.txns = append(m.txns, t)
	m.mu.Unlock()
	if err := w.Begin(); err != nil {
		return err
	}
	size := 1 << rng.IntN(11) // up to 1 KiB, some transactions go in parts
	for n := range 1 + rng.IntN(5) {
		p := int32(rng.IntN(modelPartitions))
		b := &recordbatch.Builder{MaxBytes: 300}
		for k := range 1 + rng.IntN(3) {
			value := fmt.Sprintf("%d.%d.%d.%s", t.id, n, k, strings.Repeat("x", rng.IntN(size)))
			m.mu.Lock()
			t.values[p] = append(t.values[p], value)
			m.mu.Unlock()
			b.Append(int64(t.id), []byte(fmt.Sprint("key-", k)), []byte(value), nil)
		}
		if err := w.Append(tp("a", p), b); err != nil {
			return err
		}
	}
	if rng.IntN(2) == 0 {
		m.mu.Lock()
		t.offset = int64(t.id)
		m.mu.Unlock()
		at := commitlog.GroupOffset{Offset: t.offset, Metadata: fmt.Sprint("of ", t.id)}
		if err := w.Offsets(modelGroup+w.ID(), commitlog.Membership{}, map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", 0): at}); err != nil {
			return err
		}
	}
	if rng.IntN(6) == 0 {
		return w.Abort()
	}
	m.set(t, txnStarted)
	ranges, err := w.Commit(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	t.ranges = ranges
	m.mu.Unlock()
	m.set(t, txnAcked)
	return nil
}

// found is a record read back.
type found struct {
	value  string
	offset int64
}

// check compares a log with the model, and then takes what is there as settled:
// unacknowledged transactions become acknowledged or aborted.
func (m *model) check(l *Log) (v verdict, err error) {
	var partitions [modelPartitions][]found
	if _, err := l.Topic(ctx, "a"); err == nil {
		for p := range partitions {
			values, err := readAll(l, tp("a", int32(p)), 0)
			if err != nil {
				return v, err
			}
			for i, value := range values {
				partitions[p] = append(partitions[p], found{value, int64(i)})
			}
		}
	} else if m.topics["a"] {
		v.lost++
		v.note("topic a is lost")
	}
	for name := range m.topics {
		if _, err := l.Topic(ctx, name); err != nil {
			v.lost++
			v.note("topic %s is lost: %v", name, err)
		}
	}
	seen := map[string][]int64{} // by value with its partition
	for p, records := range partitions {
		for _, r := range records {
			key := fmt.Sprint(p, "/", r.value)
			seen[key] = append(seen[key], r.offset)
		}
	}
	last := map[string]int64{}
	for _, t := range m.txns {
		m.checkTxn(t, seen, &v)
		if t.state == txnAcked && t.offset >= 0 {
			last[t.writer] = t.offset
		}
	}
	for key := range seen {
		v.wrong++
		v.note("record %.40s was never written or was aborted", key)
	}
	m.checkOrder(partitions, &v)
	return v, m.checkOffsets(l, last, &v)
}

// checkTxn looks for all records of one transaction, taking them out of seen,
// and settles its state.
func (m *model) checkTxn(t *modelTxn, seen map[string][]int64, v *verdict) {
	want, have := 0, 0
	for p, values := range t.values {
		for _, value := range values {
			want++
			key := fmt.Sprint(p, "/", value)
			offsets := seen[key]
			if len(offsets) == 0 || t.state == txnAborted {
				continue
			}
			delete(seen, key)
			have++
			if len(offsets) > 1 {
				v.dup++
				v.note("record %.40s at offsets %v", key, offsets)
			}
			if r, ok := t.ranges[tp("a", int32(p))]; ok && (offsets[0] < r.Base || offsets[0] >= r.Next) {
				v.wrong++
				v.note("record %.40s at offset %d, acknowledged in %v", key, offsets[0], r)
			}
		}
	}
	switch {
	case t.state == txnAborted:
	case have == want:
		t.state = txnAcked
		v.acked++
	case t.state == txnAcked:
		v.lost++
		v.note("acknowledged transaction %d of %s: %d of %d records", t.id, t.writer, have, want)
	case have > 0:
		v.wrong++
		v.note("transaction %d of %s is torn: %d of %d records", t.id, t.writer, have, want)
	default:
		t.state = txnAborted
	}
}

// checkOrder demands each writer's records in the order they were appended.
func (m *model) checkOrder(partitions [modelPartitions][]found, v *verdict) {
	for p, records := range partitions {
		last := map[string][3]int{}
		for _, r := range records {
			var id, n, k int
			if _, err := fmt.Sscanf(r.value, "%d.%d.%d.", &id, &n, &k); err != nil || id >= len(m.txns) {
				continue // counted as never written
			}
			w, at := m.txns[id].writer, [3]int{id, n, k}
			if before, ok := last[w]; ok && slices.Compare(at[:], before[:]) <= 0 {
				v.wrong++
				v.note("partition %d: %v of %s behind %v", p, at, w, before)
			}
			last[w] = at
		}
	}
}

func (m *model) checkOffsets(l *Log, last map[string]int64, v *verdict) error {
	for id := range m.epochs {
		offsets, err := l.GroupOffsets(ctx, modelGroup+id)
		if err != nil {
			return err
		}
		got, ok := offsets[tp("a", 0)]
		want, committed := last[id]
		if ok != committed || ok && (got.Offset != want || got.Metadata != fmt.Sprint("of ", want)) {
			v.wrong++
			v.note("group of %s is at %v, want offset %d (%v)", id, got, want, committed)
		}
	}
	return nil
}

// checkEpochs demands a larger epoch of every identity.
func (m *model) checkEpochs(l *Log, v *verdict) error {
	ids := make([]string, 0, len(m.epochs))
	for id := range m.epochs {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		w, err := l.OpenWriter(ctx, id)
		if err != nil {
			return err
		}
		if w.Epoch() <= m.epochs[id] {
			v.wrong++
			v.note("writer %s got epoch %d after %d", id, w.Epoch(), m.epochs[id])
		}
		m.epochs[id] = w.Epoch()
	}
	return nil
}
