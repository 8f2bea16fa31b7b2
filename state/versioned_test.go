package state_test

import (
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

// versionRow is a version of the model, which keeps them all for ever.
type versionRow struct {
	time  int64
	value processor.Opt[int64]
}

// versionStepper drives a store of versions through random operations beside lists.
type versionStepper struct {
	t        *testing.T
	seed     uint64
	rng      *rand.Rand
	budget   int
	handle   state.VersionedStore[string, int64]
	engine   state.Engine
	versions *state.Versions[int64]
	model    map[string][]versionRow
	log      *logged
	now      int64 // stream time
}

const versionHistory = 50

func (s *versionStepper) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("seed %d: %v", s.seed, err)
	}
}

func (s *versionStepper) open() {
	var err error
	s.versions, err = s.handle.OpenVersions(state.Env{Spec: s.handle.Spec(), ID: 7, View: s.engine, CacheBytes: s.budget})
	s.must(err)
}

// at is the model's version at a time.
func (s *versionStepper) at(key string, t int64) (v versionRow) {
	rows := s.model[key]
	for i, r := range rows {
		if r.time <= t && (i == len(rows)-1 || t >= s.now-versionHistory) {
			v = r
		}
	}
	return v
}

func (s *versionStepper) step() {
	key := "k" + "\x00\x00\x00\x00\x00\x00\x00\x00\x01"[:s.rng.IntN(10)] + fmt.Sprint(s.rng.IntN(3))
	hash := state.HashKey([]byte(key))
	switch n := s.rng.IntN(100); {
	case n < 50:
		s.put(key, hash)
	case n < 85:
		t := max(0, s.now+10-s.rng.Int64N(90))
		got, err := s.versions.At([]byte(key), hash, t, s.now)
		s.must(err)
		if want := s.at(key, t); got.Value != want.value {
			s.t.Fatalf("seed %d: %q at %d of %d is %v, want %v of %v", s.seed, key, t, s.now, got, want, s.model[key])
		}
	default:
		b := s.engine.NewBatch()
		s.log.last = nil
		s.must(s.versions.Drain(b, s.log))
		s.must(s.log.err)
		s.must(s.engine.Apply(b))
		s.versions.Committed()
		if n > 95 {
			s.open() // as after a restart
		}
	}
}

func (s *versionStepper) put(key string, hash uint32) {
	r := versionRow{time: max(0, s.now+8-s.rng.Int64N(versionHistory)), value: processor.Some(s.rng.Int64())}
	if s.rng.IntN(5) == 0 {
		r.value = processor.None[int64]()
	}
	s.now = max(s.now, r.time)
	newest, past, err := s.versions.Put([]byte(key), hash, state.Version[int64]{Value: r.value, Time: r.time}, s.now)
	s.must(err)
	rows := s.model[key]
	var last versionRow
	if len(rows) > 0 {
		last = rows[len(rows)-1]
	}
	if newest.Value != last.value || past != (len(rows) > 0 && r.time < last.time) {
		s.t.Fatalf("seed %d: put %v: newest was %v, past %v; want %v", s.seed, r, newest, past, last)
	}
	rows = slices.DeleteFunc(rows, func(o versionRow) bool { return o.time == r.time })
	i := slices.IndexFunc(rows, func(o versionRow) bool { return o.time > r.time })
	if i < 0 {
		i = len(rows)
	}
	s.model[key] = slices.Insert(rows, i, r)
}

// A store of versions agrees with lists that forget nothing, whatever the size of
// its cache and whenever it commits or is opened anew. TIDEMILL_LONG=1 takes more
// seeds.
func TestVersionsAgreeWithModel(t *testing.T) {
	seeds := uint64(60)
	if os.Getenv("TIDEMILL_LONG") != "" {
		seeds = 20_000
	}
	for _, budget := range []int{1, 4 << 10, 1 << 30} {
		t.Run(fmt.Sprint("budget=", budget), func(t *testing.T) {
			for seed := range seeds {
				s := &versionStepper{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), budget: budget, engine: memdb.New(),
					handle: state.Versioned("v", serde.String, serde.Int64, versionHistory*time.Millisecond),
					model:  map[string][]versionRow{}, log: &logged{rows: map[string][]byte{}}}
				s.open()
				for range 400 {
					if s.rng.IntN(3) == 0 {
						s.now += s.rng.Int64N(12)
					}
					s.step()
				}
			}
		})
	}
}
