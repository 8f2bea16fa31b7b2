package state_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
)

type modelKey struct {
	start int64
	key   string
}

// logged is a changelog in memory; the last record of a key is its truth.
type logged struct {
	rows map[string][]byte
	last []byte
	err  error
}

func (l *logged) Record(_ int64, key, value []byte) error {
	if bytes.Equal(l.last, key) {
		l.err = fmt.Errorf("key %x was recorded twice in one commit", key)
	}
	l.last = bytes.Clone(key)
	l.rows[string(key)] = bytes.Clone(value)
	return nil
}

// stepper drives a store through random operations beside a map.
type stepper struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	handle  state.Materialized[processor.Windowed[string], int64]
	kv      state.Materialized[string, int64]
	engine  state.Engine
	cells   state.Cells[int64]
	budget  int
	window  bool
	model   map[modelKey]int64
	dirty   map[modelKey]bool
	log     *logged
	horizon int64
}

func (s *stepper) open() {
	env := state.Env{ID: 7, View: s.engine, CacheBytes: s.budget, Horizon: s.horizon,
		Now: func() processor.Timestamp { return 0 }}
	var err error
	if s.window {
		env.Spec = s.handle.Spec()
		s.cells, err = s.handle.OpenCells(env)
	} else {
		env.Spec = s.kv.Spec()
		s.cells, err = s.kv.OpenCells(env)
	}
	s.must(err)
}

func (s *stepper) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("seed %d: %v", s.seed, err)
	}
}

func (s *stepper) pick() modelKey {
	k := modelKey{key: fmt.Sprintf("k%d", s.rng.IntN(40))}
	if s.window {
		k.start = s.horizon + int64(s.rng.IntN(6))*10
	}
	return k
}

func (s *stepper) slot(start int64, key string) (state.Slot[int64], error) {
	hash := state.HashKey([]byte(key))
	s.cells.Touch(hash)
	return s.cells.Slot(start, []byte(key), hash)
}

func (s *stepper) step() {
	switch n := s.rng.IntN(100); {
	case n < 45:
		k, v := s.pick(), s.rng.Int64()
		slot, err := s.slot(k.start, k.key)
		s.must(err)
		slot.Store(v, 1)
		s.model[k], s.dirty[k] = v, true
	case n < 60:
		k := s.pick()
		slot, err := s.slot(k.start, k.key)
		s.must(err)
		if _, _, ok := slot.Load(); ok {
			slot.Delete()
			s.dirty[k] = true
		}
		delete(s.model, k)
	case n < 85:
		k := s.pick()
		slot, err := s.slot(k.start, k.key)
		s.must(err)
		v, _, ok := slot.Load()
		want, wantOK := s.model[k]
		if ok != wantOK || v != want {
			s.t.Fatalf("seed %d: row %v is %d, %v; want %d, %v", s.seed, k, v, ok, want, wantOK)
		}
	case n < 90:
		s.checkScan()
	case n < 92 && s.window:
		s.expire()
	case n < 97:
		s.commit()
	default:
		s.commit()
		s.open() // as after a restart
	}
}

func (s *stepper) expire() {
	s.horizon += int64(s.rng.IntN(3)) * 10
	s.cells.ExpireBelow(s.horizon)
	for k := range s.model {
		if k.start < s.horizon {
			delete(s.model, k)
		}
	}
	for k := range s.dirty {
		if k.start < s.horizon {
			delete(s.dirty, k)
		}
	}
}

func (s *stepper) commit() {
	seen := map[modelKey]bool{}
	s.must(s.cells.EachDirty(func(c state.Cell[int64]) error {
		k := modelKey{c.Start, string(c.Key)}
		want, present := s.model[k]
		if c.Start >= s.horizon && (c.Present != present || c.Value != want) {
			return fmt.Errorf("dirty row %v is %d, %v; want %d, %v", k, c.Value, c.Present, want, present)
		}
		seen[k] = true
		return nil
	}))
	for k := range s.dirty {
		if !seen[k] {
			s.t.Fatalf("seed %d: row %v has changed and is not dirty", s.seed, k)
		}
	}
	b := s.engine.NewBatch()
	s.log.last = nil
	s.must(s.cells.Drain(b, s.log))
	s.must(s.log.err)
	s.must(s.engine.Apply(b))
	s.cells.Committed()
	clear(s.dirty)
	if s.cells.Dirty() != 0 {
		s.t.Fatalf("seed %d: %d dirty rows after a commit", s.seed, s.cells.Dirty())
	}
	s.checkLog()
}

// checkLog compares the changelog with the model: what is live is there.
func (s *stepper) checkLog() {
	live := 0
	for key, value := range s.log.rows {
		kind := state.KindKeyValue
		if s.window {
			kind = state.KindWindow
		}
		start, k, err := state.SplitChangelogKey(kind, []byte(key))
		s.must(err)
		if value == nil || start < s.horizon {
			continue
		}
		live++
		want, ok := s.model[modelKey{start, string(k)}]
		got, err := serde.Int64.Decode(value)
		s.must(err)
		if !ok || got != want {
			s.t.Fatalf("seed %d: the changelog has %d for %d/%s, want %d, %v", s.seed, got, start, k, want, ok)
		}
	}
	if live != len(s.model) {
		s.t.Fatalf("seed %d: the changelog has %d live rows, the model %d", s.seed, live, len(s.model))
	}
}

func (s *stepper) checkScan() {
	byStart := map[int64][]string{}
	for k := range s.model {
		byStart[k.start] = append(byStart[k.start], k.key)
	}
	starts := s.cells.Starts(0, 1<<60)
	for _, start := range slices.Sorted(maps.Keys(byStart)) {
		if !slices.Contains(starts, start) {
			s.t.Fatalf("seed %d: window %d has rows and is not among %v", s.seed, start, starts)
		}
		want := slices.Sorted(slices.Values(byStart[start]))
		after := ""
		if s.rng.IntN(2) == 0 {
			after = fmt.Sprintf("k%d", s.rng.IntN(40))
			want = slices.DeleteFunc(want, func(k string) bool { return k <= after })
		}
		var afterKey []byte
		if after != "" {
			afterKey = []byte(after)
		}
		var got []string
		s.must(s.cells.EachRow(start, afterKey, func(c state.Cell[int64]) (bool, error) {
			if c.Value != s.model[modelKey{start, string(c.Key)}] {
				return false, fmt.Errorf("scan: row %d/%s is %d", start, c.Key, c.Value)
			}
			got = append(got, string(c.Key))
			return true, nil
		}))
		if !slices.Equal(got, want) {
			s.t.Fatalf("seed %d: window %d after %q has %v, want %v", s.seed, start, after, got, want)
		}
	}
}

// A store agrees with a map, whatever the size of its cache and whenever it
// commits or is opened anew.
func TestCellsAgreeWithModel(t *testing.T) {
	for _, window := range []bool{false, true} {
		for _, budget := range []int{1, 4 << 10, 1 << 30} {
			t.Run(fmt.Sprintf("window=%v/budget=%d", window, budget), func(t *testing.T) {
				for seed := range uint64(60) {
					s := &stepper{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), window: window, budget: budget,
						handle: state.Window("w", serde.String, serde.Int64).Retention(time.Hour),
						kv:     state.KeyValue("k", serde.String, serde.Int64),
						engine: memdb.New(), model: map[modelKey]int64{}, dirty: map[modelKey]bool{}, log: &logged{rows: map[string][]byte{}}}
					s.open()
					for range 400 {
						s.step()
					}
				}
			})
		}
	}
}

// The budget bounds what the cache keeps across commits.
func TestCacheStaysWithinItsBudget(t *testing.T) {
	const budget = 64 << 10
	for _, window := range []bool{false, true} {
		s := &stepper{t: t, rng: rand.New(rand.NewPCG(1, 1)), window: window, budget: budget,
			handle: state.Window("w", serde.String, serde.Int64), kv: state.KeyValue("k", serde.String, serde.Int64),
			engine: memdb.New(), log: &logged{rows: map[string][]byte{}}}
		s.open()
		for commit := range 50 {
			for i := range 500 {
				slot, err := s.slot(int64(commit%7), fmt.Sprintf("key-%d-%d", commit, i))
				s.must(err)
				slot.Store(int64(i), 1)
			}
			b := s.engine.NewBatch()
			s.log.last = nil
			s.must(s.cells.Drain(b, s.log))
			s.must(s.engine.Apply(b))
			s.cells.Committed()
			if got := s.cells.Bytes(); got > budget {
				t.Fatalf("window=%v: the cache holds %d bytes after a commit, its budget is %d", window, got, budget)
			}
		}
	}
}
