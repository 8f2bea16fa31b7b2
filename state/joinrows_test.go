package state_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
)

// joinModelRow is a row of the model, which is a list in the order of arrival.
type joinModelRow struct {
	time  int64
	key   string
	value int64
	waits bool
}

// joinStepper drives one side of a join, or a store of held records, through random
// operations beside a list.
type joinStepper struct {
	t        *testing.T
	seed     uint64
	rng      *rand.Rand
	held     bool
	spec     state.Spec
	budget   int
	engine   state.Engine
	rows     state.JoinRows[int64]
	model    []joinModelRow
	log      *logged
	horizon  int64 // rows of an earlier time may go
	slices   int64 // the store's own horizon, as it was committed
	now      int64
	sequence uint32
}

const joinTestSlice = 1024

func (s *joinStepper) open() {
	side := state.Join("j", serde.String, serde.Int64, serde.Int64).Left()
	rows, err := side.OpenRows(state.Env{Spec: s.spec, ID: 7, View: s.engine, CacheBytes: s.budget, Horizon: s.slices})
	s.must(err)
	s.rows = rows
	s.rows.ExpireBelow(s.horizon)
}

func (s *joinStepper) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("seed %d: %v", s.seed, err)
	}
}

// key returns one of some keys, of which several begin with another one.
func (s *joinStepper) key() string {
	return "k" + "\x00\x00\x00\x00\x00\x00\x00\x00\x01"[:s.rng.IntN(10)] + fmt.Sprint(s.rng.IntN(3))
}

func (s *joinStepper) time() int64 { return max(s.horizon, 0, s.now-s.rng.Int64N(3000)) }

func (s *joinStepper) run(steps int) {
	s.open()
	for range steps {
		s.step()
	}
	s.commit()
}

func (s *joinStepper) step() {
	s.now += s.rng.Int64N(40)
	switch n := s.rng.IntN(100); {
	case n < 40:
		s.put()
	case n < 60:
		s.fetch()
	case n < 72:
		s.checkWaiting()
	case n < 84:
		s.take()
	case n < 88:
		s.horizon = max(s.horizon, s.now-4000)
		s.rows.ExpireBelow(s.horizon)
	case n < 97:
		s.commit()
	default:
		s.commit()
		s.open() // as after a restart
	}
}

func (s *joinStepper) put() {
	r := joinModelRow{time: s.time(), key: s.key(), value: s.rng.Int64(), waits: s.held || s.rng.IntN(2) == 0}
	s.sequence++
	s.must(s.rows.Put(state.JoinRow[int64]{Time: r.time, Value: r.value}, s.sequence, []byte(r.key), state.HashKey([]byte(r.key)), r.waits))
	s.model = append(s.model, r)
}

// sorted are the model's rows that pass, by time and key, then arrival.
func (s *joinStepper) sorted(keep func(joinModelRow) bool) (out []joinModelRow) {
	for _, r := range s.model {
		if keep(r) {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b joinModelRow) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.key, b.key)) })
	return out
}

func (s *joinStepper) compare(what string, got []state.JoinRow[int64], want []joinModelRow) {
	s.t.Helper()
	same := slices.EqualFunc(got, want, func(g state.JoinRow[int64], w joinModelRow) bool { return g.Time == w.time && g.Value == w.value })
	if !same {
		s.t.Fatalf("seed %d: %s: got %v, want %v", s.seed, what, got, want)
	}
}

func (s *joinStepper) fetch() {
	if s.held {
		return // held rows are only taken
	}
	key, from := s.key(), s.time()
	to := from + s.rng.Int64N(2000)
	match := func(r joinModelRow) bool { return r.key == key && r.time >= from && r.time <= to }
	hash := state.HashKey([]byte(key))
	s.rows.Touch(hash)
	got, err := s.rows.Fetch(nil, []byte(key), hash, from, to)
	s.must(err)
	s.compare(fmt.Sprintf("rows of %q", key), got, s.sorted(match))
	for i, r := range s.model {
		if match(r) {
			s.model[i].waits = false
		}
	}
}

func waits(r joinModelRow) bool { return r.waits }

func (s *joinStepper) checkWaiting() {
	all := s.sorted(waits)
	last, ok, err := s.rows.LastWaiting()
	s.must(err)
	if ok != (len(all) > 0) || ok && last != all[len(all)-1].time {
		s.t.Fatalf("seed %d: the last that waits is at %d, %v; want %v", s.seed, last, ok, all)
	}
	from := s.time()
	k, ok, err := s.rows.WaitingFrom(from)
	s.must(err)
	for range 4 {
		i := slices.IndexFunc(all, func(r joinModelRow) bool { return r.time >= from })
		if ok != (i >= 0) || ok && (k.Time != all[i].time || string(k.Key) != all[i].key) {
			s.t.Fatalf("seed %d: from %d %v waits, %v; want %v", s.seed, from, k, ok, all[max(i, 0):])
		}
		if !ok {
			return
		}
		all = slices.DeleteFunc(all, func(r joinModelRow) bool { return r.time == k.Time && r.key <= string(k.Key) })
		k, ok, err = s.rows.WaitingBehind(k)
		s.must(err)
	}
}

func (s *joinStepper) take() {
	k, ok, err := s.rows.WaitingFrom(max(0, s.now-s.rng.Int64N(8000)))
	s.must(err)
	if !ok {
		return
	}
	match := func(r joinModelRow) bool { return r.waits && r.time == k.Time && r.key == string(k.Key) }
	got, err := s.rows.Take(nil, k)
	s.must(err)
	s.compare("taken", got, s.sorted(match))
	for i, r := range s.model {
		if match(r) {
			s.model[i].waits = false
		}
	}
	if s.held {
		s.model = slices.DeleteFunc(s.model, func(r joinModelRow) bool { return !r.waits })
	}
}

func (s *joinStepper) commit() {
	b := s.engine.NewBatch()
	s.log.last = nil
	s.must(s.rows.Drain(b, s.log))
	s.must(s.log.err)
	s.must(s.engine.Apply(b))
	s.slices = s.rows.Horizon()
	s.rows.Committed()
	if s.rows.Dirty() != 0 {
		s.t.Fatalf("seed %d: %d rows are dirty behind a commit", s.seed, s.rows.Dirty())
	}
	s.model = slices.DeleteFunc(s.model, func(r joinModelRow) bool { return !r.waits && r.time < s.horizon })
	s.checkLog()
}

// checkLog compares the changelog with the model: what is needed is there, with
// whether it waits.
func (s *joinStepper) checkLog() {
	live := map[string]int{}
	for _, r := range s.model {
		live[fmt.Sprint(r.time, r.key, r.value, r.waits)]++
	}
	for key, value := range s.log.rows {
		time, _, k, err := state.SplitJoinChangelogKey([]byte(key))
		s.must(err)
		if value == nil {
			continue
		}
		waits, _, err := state.WaitChange(value)
		s.must(err)
		v, err := serde.Int64.Decode(value[1:])
		s.must(err)
		live[fmt.Sprint(time, string(k), v, waits)]--
	}
	for r, n := range live {
		if n > 0 {
			s.t.Fatalf("seed %d: row %s is not in the changelog", s.seed, r)
		}
	}
}

func newJoinStepper(t *testing.T, seed uint64, held bool, budget int) *joinStepper {
	s := &joinStepper{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), held: held, budget: budget, engine: memdb.New(),
		log: &logged{rows: map[string][]byte{}}, now: 100}
	s.spec = state.Spec{Name: "j-left", Kind: state.KindJoin, Key: "string", Value: "int64", WindowSize: joinTestSlice * time.Millisecond}
	if held {
		s.spec.Kind = state.KindHeld
	}
	return s
}

// One side of a join agrees with a list, whatever the size of its cache and
// whenever it commits or is opened anew. TIDEMILL_LONG=1 takes more seeds.
func TestJoinRowsAgreeWithModel(t *testing.T) {
	seeds := uint64(40)
	if os.Getenv("TIDEMILL_LONG") != "" {
		seeds = 2_000
	}
	for _, held := range []bool{false, true} {
		for _, budget := range []int{1, 8 << 10, 1 << 30} {
			t.Run(fmt.Sprintf("held=%v/budget=%d", held, budget), func(t *testing.T) {
				for seed := range seeds {
					newJoinStepper(t, seed, held, budget).run(500)
				}
			})
		}
	}
}

func TestJoinSlices(t *testing.T) {
	for span, want := range map[time.Duration]time.Duration{
		0: 1024 * time.Millisecond, time.Second: 1024 * time.Millisecond, 2047 * time.Millisecond: 1024 * time.Millisecond,
		2048 * time.Millisecond: 2048 * time.Millisecond, 20 * time.Second: 16384 * time.Millisecond,
	} {
		if got := state.JoinSlice(span); got != want {
			t.Errorf("slices for %v are %v long, want %v", span, got, want)
		}
	}
}
