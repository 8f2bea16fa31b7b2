package state_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
)

// spanRow is a row of the model, which is a list sorted by end, start and key.
type spanRow struct {
	end, start int64
	key        string
	value      int64
}

func (r spanRow) compare(o spanRow) int {
	return cmp.Or(cmp.Compare(r.end, o.end), cmp.Compare(r.start, o.start), cmp.Compare(r.key, o.key))
}

// spanStepper drives a store of spans through random operations beside a list.
type spanStepper struct {
	t      fatal
	lose   bool // the next commit does not reach the engine
	seed   uint64
	rng    *rand.Rand
	handle interface {
		state.Spanned[int64]
		Spec() state.Spec
	}
	spec    state.Spec
	budget  int
	engine  state.Engine
	spans   state.Spans[int64]
	model   []spanRow
	dirty   map[spanRow]bool // changed or removed since the commit, without values
	log     *logged
	horizon int64
	now     int64 // ends of new rows lie around it
	point   state.EndPoint
}

const spanSize = 20 // of sliding windows

func (s *spanStepper) open() {
	spans, err := s.handle.OpenSpans(state.Env{Spec: s.spec, ID: 7, View: s.engine, CacheBytes: s.budget, Horizon: s.horizon})
	s.must(err)
	spans.Remember(30)
	spans.Ordered()
	s.spans = spans
}

func (s *spanStepper) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("seed %d: %v", s.seed, err)
	}
}

// key returns one of some keys, of which several begin with another one.
func (s *spanStepper) key() string {
	return "k" + string("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"[:s.rng.IntN(14)]) + fmt.Sprint(s.rng.IntN(6))
}

func (s *spanStepper) bounds() (start, end int64) {
	end = max(s.horizon, s.now-60) + int64(s.rng.IntN(80))
	if s.spec.Kind == state.KindSliding {
		end = max(end, spanSize)
		return end - spanSize, end
	}
	return max(0, end-int64(s.rng.IntN(30))), end
}

func (s *spanStepper) of(key string, from int64) state.KeySpans[int64] {
	hash := state.HashKey([]byte(key))
	s.spans.Touch(hash)
	rows, err := s.spans.Of([]byte(key), hash, from)
	s.must(err)
	return rows
}

func (s *spanStepper) find(r spanRow) int {
	return slices.IndexFunc(s.model, func(o spanRow) bool { return r.compare(o) == 0 })
}

func (s *spanStepper) touch(r spanRow) {
	r.value = 0
	s.dirty[r] = true
}

func (s *spanStepper) step() {
	s.now += int64(s.rng.IntN(3))
	switch n := s.rng.IntN(100); {
	case n < 35:
		s.put()
	case n < 50:
		s.replace()
	case n < 60:
		s.remove()
	case n < 75:
		s.checkKey(s.key(), s.now-int64(s.rng.IntN(100)))
	case n < 86:
		s.checkOrder()
	case n < 90:
		s.expire()
	case n < 97:
		s.commit()
	default:
		s.commit()
		s.open() // as after a restart
	}
}

func (s *spanStepper) put() {
	key, value := s.key(), s.rng.Int64()
	start, end := s.bounds()
	rows := s.of(key, end)
	r := spanRow{end, start, key, value}
	if i := rows.Find(start, end); i >= 0 {
		rows.Set(i, value, end)
		s.model[s.find(r)].value = value
	} else {
		at := rows.Search(end)
		rows.Replace(at, at, state.Span[int64]{Start: start, End: end, Time: end, Value: value})
		s.model = append(s.model, r)
		slices.SortFunc(s.model, spanRow.compare)
	}
	s.touch(r)
}

// rowsOf are the model's rows of a key that end at from or later.
func (s *spanStepper) rowsOf(key string, from int64) (out []spanRow) {
	for _, r := range s.model {
		if r.key == key && r.end >= max(from, s.horizon) {
			out = append(out, r)
		}
	}
	return out
}

// replace puts one row in the place of two or three neighbours.
func (s *spanStepper) replace() {
	key, value := s.key(), s.rng.Int64()
	from := s.now - int64(s.rng.IntN(60))
	have := s.rowsOf(key, from)
	if len(have) == 0 {
		return
	}
	have = have[:min(len(have), 1+s.rng.IntN(3))]
	last := have[len(have)-1]
	r := spanRow{last.end, min(last.start, have[0].start), key, value}
	if s.spec.Kind == state.KindSliding {
		r.start = last.start
	}
	if i := s.find(r); i >= 0 && !slices.ContainsFunc(have, func(o spanRow) bool { return o.compare(r) == 0 }) {
		return
	}
	rows := s.of(key, from)
	first := rows.Search(from)
	rows.Replace(first, first+len(have), state.Span[int64]{Start: r.start, End: r.end, Time: r.end, Value: value})
	for _, gone := range have {
		s.model = slices.Delete(s.model, s.find(gone), s.find(gone)+1)
		s.touch(gone)
	}
	s.model = append(s.model, r)
	slices.SortFunc(s.model, spanRow.compare)
	s.touch(r)
}

func (s *spanStepper) remove() {
	key := s.key()
	from := s.now - int64(s.rng.IntN(60))
	have := s.rowsOf(key, from)
	have = have[:min(len(have), s.rng.IntN(3))]
	rows := s.of(key, from)
	first := rows.Search(from)
	rows.Remove(first, first+len(have))
	for _, gone := range have {
		s.model = slices.Delete(s.model, s.find(gone), s.find(gone)+1)
		s.touch(gone)
	}
}

func (s *spanStepper) checkKey(key string, from int64) {
	rows := s.of(key, from)
	var got []spanRow
	for i := rows.Search(from); i < rows.Len(); i++ {
		got = append(got, spanRow{rows.At(i).End, rows.At(i).Start, key, rows.At(i).Value})
	}
	if want := s.rowsOf(key, from); !slices.Equal(got, want) {
		s.t.Fatalf("seed %d: key %q from %d has %v, want %v", s.seed, key, from, got, want)
	}
}

// checkOrder walks on from the point reached, by some rows. Rows that were put
// behind that point later are not asked for again.
func (s *spanStepper) checkOrder() {
	for range s.rng.IntN(4) {
		at := spanRow{s.point.End, s.point.Start, string(s.point.Key), 0}
		i, _ := slices.BinarySearchFunc(s.model, at, func(r, at spanRow) int {
			if r.compare(at) <= 0 {
				return -1
			}
			return 1
		})
		end, ok, err := s.spans.NextEnd(s.point)
		s.must(err)
		cell, more, err := s.spans.Next(s.point)
		s.must(err)
		if ok != more || ok != (i < len(s.model)) {
			s.t.Fatalf("seed %d: behind %v a row is there: %v and %v; want %v", s.seed, s.point, ok, more, i < len(s.model))
		}
		if !ok {
			return
		}
		got := spanRow{cell.End, cell.Start, string(cell.Key), cell.Value}
		if want := s.model[i]; got != want || end != want.end {
			s.t.Fatalf("seed %d: behind %v comes %v (end %d), want %v", s.seed, s.point, got, end, want)
		}
		s.point = state.EndPoint{End: cell.End, Start: cell.Start, Key: cell.Key}
		if s.rng.IntN(2) == 0 { // as a suppression does
			rows := s.of(got.key, got.end)
			at := rows.Find(got.start, got.end)
			rows.Remove(at, at+1)
			s.model = slices.Delete(s.model, i, i+1)
			s.touch(got)
		}
	}
}

func (s *spanStepper) expire() {
	s.horizon = max(s.horizon, min(s.now-70, s.point.End)) // final results have left
	s.spans.ExpireBelow(s.horizon)
	s.model = slices.DeleteFunc(s.model, func(r spanRow) bool { return r.end < s.horizon })
}

func (s *spanStepper) commit() {
	seen := map[spanRow]bool{}
	s.must(s.spans.EachDirty(func(c state.SpanCell[int64]) error {
		r := spanRow{c.End, c.Start, string(c.Key), 0}
		i := s.find(r)
		if c.End >= s.horizon && (c.Present != (i >= 0) || c.Present && c.Value != s.model[i].value) {
			return fmt.Errorf("dirty row %v is %d, %v; the model has it at %d", r, c.Value, c.Present, i)
		}
		if seen[r] {
			return fmt.Errorf("dirty row %v comes twice", r)
		}
		seen[r] = true
		return nil
	}))
	for r := range s.dirty {
		if s.find(r) >= 0 && !seen[r] {
			s.t.Fatalf("seed %d: row %v has changed and is not dirty", s.seed, r)
		}
	}
	clear(s.dirty)
	b := s.engine.NewBatch()
	s.log.last = nil
	s.must(s.spans.Drain(b, s.log))
	s.must(s.log.err)
	if s.lose {
		s.lose = false
		s.must(b.Close())
	} else {
		s.must(s.engine.Apply(b))
	}
	s.spans.Committed()
	s.point = state.EndPoint{End: max(s.point.End, s.horizon-1), Start: s.point.Start, Key: s.point.Key}
	s.checkLog()
	rows, _, err := s.spans.Stored()
	s.must(err)
	if rows < int64(len(s.model)) {
		s.t.Fatalf("seed %d: %d rows are stored, the model has %d", s.seed, rows, len(s.model))
	}
}

// checkLog compares the changelog with the model: what is live is there.
func (s *spanStepper) checkLog() {
	live := 0
	for logged, value := range s.log.rows {
		start, end, key, err := s.spec.SplitSpanChangelogKey([]byte(logged))
		s.must(err)
		if value == nil || end < s.horizon {
			continue
		}
		live++
		got, err := serde.Int64.Decode(value)
		s.must(err)
		if i := s.find(spanRow{end, start, string(key), 0}); i < 0 || s.model[i].value != got {
			s.t.Fatalf("seed %d: the changelog has %d for %q [%d, %d], the model has the row at %d", s.seed, got, key, start, end, i)
		}
	}
	if live != len(s.model) {
		s.t.Fatalf("seed %d: the changelog has %d live rows, the model %d", s.seed, live, len(s.model))
	}
}

func spanSeeds() uint64 {
	if os.Getenv("TIDEMILL_LONG") != "" {
		return 20_000
	}
	return 40
}

// A store of spans agrees with a sorted list, whatever the size of its cache and
// whenever it commits or is opened anew. TIDEMILL_LONG=1 takes more seeds.
func TestSpansAgreeWithModel(t *testing.T) {
	for _, sliding := range []bool{false, true} {
		for _, budget := range []int{1, 8 << 10, 1 << 30} {
			t.Run(fmt.Sprintf("sliding=%v/budget=%d", sliding, budget), func(t *testing.T) {
				for seed := range spanSeeds() {
					newSpanStepper(t, seed, sliding, budget).run(500)
				}
			})
		}
	}
}

func newSpanStepper(t *testing.T, seed uint64, sliding bool, budget int) *spanStepper {
	s := &spanStepper{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), budget: budget, engine: memdb.New(),
		dirty: map[spanRow]bool{}, log: &logged{rows: map[string][]byte{}}, point: state.BeforeAll()}
	s.handle = state.Session("s", serde.String, serde.Int64).Retention(time.Hour)
	s.spec = s.handle.Spec()
	if sliding {
		s.handle = state.Window("s", serde.String, serde.Int64).Retention(time.Hour)
		s.spec = s.handle.Spec()
		s.spec.Kind, s.spec.WindowSize = state.KindSliding, spanSize*time.Millisecond
	}
	s.open()
	return s
}

func (s *spanStepper) run(steps int) {
	for range steps {
		s.step()
	}
}

// What expired is deleted for good, also if the commit that should have done it
// was lost.
func TestExpiredSpansAreDeleted(t *testing.T) {
	s := newSpanStepper(t, 1, false, 1<<30)
	for range 200 {
		s.put()
	}
	s.commit()
	s.horizon = 1 << 40
	s.model = nil
	s.open()
	s.commit()
	if rows, bytes, err := s.spans.Stored(); rows != 0 || bytes != 0 || err != nil {
		t.Errorf("%d rows of %d bytes are left, %v", rows, bytes, err)
	}
	lower, upper := state.StoreRange(7)
	it, err := s.engine.Iter(lower, upper, false)
	s.must(err)
	defer it.Close()
	if it.Next() {
		t.Errorf("key %x is left", it.Key())
	}
}

// fatal is what a stepper needs of a test.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// expected collects what would have failed a test.
type expected struct{ message string }

func (*expected) Helper() {}

func (e *expected) Fatalf(format string, args ...any) {
	e.message = fmt.Sprintf(format, args...)
	panic(e)
}

// The control of the model: a commit whose rows do not reach the engine is seen.
func TestSpanModelSeesALostCommit(t *testing.T) {
	seen := 0
	for seed := range uint64(10) {
		s := newSpanStepper(t, seed, seed%2 == 0, 1)
		failure := &expected{}
		s.t = failure
		func() {
			defer func() {
				if p := recover(); p != nil && p != any(failure) {
					panic(p)
				}
			}()
			s.run(100)
			s.lose = true
			s.commit()
			s.open()
			s.run(400)
		}()
		if failure.message != "" {
			seen++
		}
	}
	if seen < 8 { // a commit may have had nothing to write
		t.Errorf("a lost commit was seen in %d of 10 runs", seen)
	}
}

func TestSessionsInAProcessor(t *testing.T) {
	handle := state.Session("s", serde.String, serde.Int64).Retention(100 * time.Millisecond)
	cells, err := handle.Open(state.Env{Spec: handle.Spec(), ID: 1, View: memdb.New(), CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx := storeContext{"s": state.Access{Cells: cells}}
	sessions, err := state.SessionsOf(ctx, handle)
	if err != nil {
		t.Fatal(err)
	}
	put := func(start, end processor.Timestamp, v int64, want bool) {
		t.Helper()
		if ok, err := sessions.Put("k", start, end, v); err != nil || ok != want {
			t.Errorf("Put [%d, %d]: %v, %v; want %v", start, end, ok, err, want)
		}
	}
	put(10, 20, 1, true)
	put(40, 40, 2, true)
	put(40, 40, 3, true)
	if v, ok, err := sessions.Get("k", 40, 40); v != 3 || !ok || err != nil {
		t.Errorf("Get: %d, %v, %v", v, ok, err)
	}
	if _, ok, _ := sessions.Get("k", 39, 40); ok {
		t.Error("Get found a session by one of its ends")
	}
	var found []string
	visit := func(start, end processor.Timestamp, v int64) bool {
		found = append(found, fmt.Sprintf("[%d,%d]=%d", start, end, v))
		return true
	}
	if err := sessions.Overlapping("k", 20, 39, visit); err != nil || !slices.Equal(found, []string{"[10,20]=1"}) {
		t.Errorf("Overlapping: %v, %v", found, err)
	}
	put(200, 210, 4, true)
	put(50, 60, 5, false) // ended more than 100 ms before
	if err := sessions.Delete("k", 200, 210); err != nil {
		t.Error(err)
	}
	found = nil
	if err := sessions.All("k", visit); err != nil || found != nil {
		t.Errorf("All: %v, %v; everything has expired or was deleted", found, err)
	}
	if _, err := sessions.Put("k", 5, 4, 1); err == nil {
		t.Error("a session that ends before it starts was written")
	}
	if _, err := state.SessionsOf(ctx, state.Session("s", serde.String, serde.String)); err == nil {
		t.Error("a handle of other types was accepted")
	}
}

// storeContext is a TaskContext that only has stores.
type storeContext map[string]state.Access

func (storeContext) StreamTime() processor.Timestamp { return 0 }
func (storeContext) Partition() int32                { return 0 }
func (storeContext) RequestCommit()                  {}
func (c storeContext) Store(name string) (any, error) {
	a, ok := c[name]
	if !ok {
		return nil, fmt.Errorf("no store %s", name)
	}
	return a, nil
}
