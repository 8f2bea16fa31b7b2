package topology

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
)

// The tests in this file compare operators on tables with what their rules say,
// computed anew from maps after every record: random input, out of order, with
// null keys and deletions.

type modelRow struct{ value, time int64 }

// anyTime is a time that the model does not say.
const anyTime = -1

// modelStep is a record: of topic l or r, which are tables, or s, a stream.
type modelStep struct {
	topic, key string // key "-" is null
	value      int64
	null       bool
	time       int64
}

// modelWorld is what the tables hold.
type modelWorld struct {
	left, right map[string]modelRow
	ever        map[string]bool // groups that ever were, see modelGroup
}

func (w *modelWorld) apply(s modelStep, rule worldRule) {
	rows := map[string]map[string]modelRow{"l": w.left, "r": w.right}[s.topic]
	if rows == nil || s.key == "-" {
		return
	}
	have, there := rows[s.key]
	switch {
	case rule == ignoreDeletions && s.null, rule == newestTimeWins && there && s.time < have.time:
		return
	case s.null:
		delete(rows, s.key)
	default:
		rows[s.key] = modelRow{s.value, s.time}
	}
}

// worldRule is the rule of a table, or a wrong one that a test has to notice.
type worldRule int

const (
	lastOffsetWins worldRule = iota
	ignoreDeletions
	newestTimeWins
)

// tableModel is an operator and its rule. It reads topics l, r and s and writes
// topic out.
type tableModel struct {
	name    string
	declare func(b *Builder)
	// rows are what the updates in out must add up to, and store "out" hold if the
	// operator has one. Or out are the records that a record of s causes.
	rows   func(w *modelWorld) map[string]modelRow
	stored bool
	out    func(w *modelWorld, s modelStep) []string
}

// globalRows are the rows of a global table in a test: the engine itself.
type globalRows struct {
	db      *memdb.DB
	version uint64
}

func (g *globalRows) GlobalStore(string) (GlobalStore, error) {
	return GlobalStore{Rows: g.db, ID: 1, Version: func() uint64 { return g.version }}, nil
}

func (g *globalRows) apply(t testing.TB, s modelStep) {
	if s.key == "-" {
		return
	}
	b := g.db.NewBatch()
	key := state.AppendRowKey(nil, 1, state.KindKeyValue, 0, []byte(s.key))
	err := b.Delete(key)
	if !s.null {
		err = b.Set(key, state.AppendRowValue(nil, s.time, []byte{0, 0, 0, 0, 0, 0, 0, byte(s.value)}))
	}
	if err == nil {
		err = g.db.Apply(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.version++
}

func randomStep(rng *rand.Rand, time int64) modelStep {
	return modelStep{topic: []string{"l", "l", "r", "r", "s"}[rng.IntN(5)], key: []string{"a", "b", "c", "d", "-"}[rng.IntN(5)],
		value: rng.Int64N(20), null: rng.IntN(4) == 0, time: max(0, time+rng.Int64N(21)-10)}
}

// check runs the records of a seed and says where the operator leaves its rule.
func (m tableModel) check(t testing.TB, seed uint64, rule worldRule) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := newDriver(t, modes[seed%uint64(len(modes))], m.declare)
	defer d.close()
	w := &modelWorld{left: map[string]modelRow{}, right: map[string]modelRow{}, ever: map[string]bool{}}
	emitted := map[string]modelRow{}
	for i := range 30 {
		s := randomStep(rng, int64(3*i))
		w.apply(s, rule)
		if d.globals != nil && s.topic == "r" {
			d.globals.apply(t, s)
		} else if !d.trySend(s) {
			continue
		}
		got := d.take()
		if m.out != nil {
			if want := m.out(w, s); s.topic == "s" && !slices.Equal(got, want) {
				return fmt.Errorf("step %d %+v: got %v, want %v", i, s, got, want)
			}
			continue
		}
		for _, line := range got {
			fold(emitted, line)
		}
		if err := sameRows(emitted, m.rows(w)); err != nil {
			return fmt.Errorf("step %d %+v, results %v: %w", i, s, got, err)
		}
	}
	if !m.stored {
		return nil
	}
	stored := map[string]modelRow{}
	for _, line := range d.rows("out") {
		fold(stored, "out: "+line)
	}
	return sameRows(stored, m.rows(w))
}

// trySend sends a step, if its topic is read.
func (d *driver) trySend(s modelStep) bool {
	for _, task := range d.tasks {
		for _, source := range task.inst.Sources() {
			if source.Topic != s.topic {
				continue
			}
			if s.null {
				d.sendNull(s.topic, s.key, s.time)
			} else {
				d.send(s.topic, s.key, s.value, s.time)
			}
			return true
		}
	}
	return false
}

// fold applies a result to the rows that it updates.
func fold(rows map[string]modelRow, line string) {
	var value, time int64
	key, rest, _ := strings.Cut(strings.TrimPrefix(line, "out: "), "=")
	if _, err := fmt.Sscanf(rest, "%d@%d", &value, &time); err != nil {
		delete(rows, key)
		return
	}
	rows[key] = modelRow{value, time}
}

func sameRows(got, want map[string]modelRow) error {
	equal := maps.EqualFunc(got, want, func(a, b modelRow) bool {
		return a.value == b.value && (a.time == b.time || b.time == anyTime)
	})
	if !equal {
		return fmt.Errorf("rows %v, want %v", got, want)
	}
	return nil
}

// TIDEMILL_LONG=1 runs 100,000 seeds an operator.
func TestTableOperatorsAgreeWithTheirModels(t *testing.T) {
	seeds := uint64(1000)
	if os.Getenv("TIDEMILL_LONG") != "" {
		seeds = 100_000
	}
	for _, m := range tableModels() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for seed := range seeds {
				if err := m.check(t, seed, lastOffsetWins); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

// A model with another rule is contradicted, so the comparison sees differences.
func TestTableModelsSeeWrongRules(t *testing.T) {
	for _, m := range tableModels() {
		for _, rule := range []worldRule{ignoreDeletions, newestTimeWins} {
			noticed := false
			for seed := uint64(0); seed < 200 && !noticed; seed++ {
				noticed = m.check(t, seed, rule) != nil
			}
			if !noticed {
				t.Errorf("%s: wrong rule %d went unseen", m.name, rule)
			}
		}
	}
}
