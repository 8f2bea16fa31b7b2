package changelog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
)

// replayed is a changelog that keeps all records in order.
type replayed struct {
	keys, values [][]byte
	times        []int64
}

func (l *replayed) Record(time int64, key, value []byte) error {
	l.keys, l.values, l.times = append(l.keys, bytes.Clone(key)), append(l.values, bytes.Clone(value)), append(l.times, time)
	return nil
}

// compacted leaves of each key what a compaction that has come to a random place
// would leave.
func (l *replayed) compacted(rng *rand.Rand) (kept []int) {
	upTo := rng.IntN(len(l.keys) + 1)
	for i := range l.keys {
		superseded := slices.ContainsFunc(l.keys[i+1:max(i+1, upTo)], func(k []byte) bool { return bytes.Equal(k, l.keys[i]) })
		if !superseded {
			kept = append(kept, i)
		}
	}
	return kept
}

// A side of a join, and held records, come back from their changelog as they were,
// with what waits, also from one that is partly compacted, and over rows that a
// crash has left behind.
func TestRestoreJoinRows(t *testing.T) {
	for _, kind := range []state.Kind{state.KindJoin, state.KindHeld} {
		for seed := range uint64(200) {
			restoreJoinRows(t, kind, seed)
		}
	}
}

func restoreJoinRows(t *testing.T, kind state.Kind, seed uint64) {
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatalf("%v, seed %d: %v", kind, seed, err)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	spec := state.Spec{Name: "j-left", Kind: kind, Key: "string", Value: "int64", WindowSize: 1024 * time.Millisecond}
	open := func(db state.Engine) state.JoinRows[int64] {
		rows, err := state.Join("j", serde.String, serde.Int64, serde.Int64).Left().OpenRows(state.Env{Spec: spec, ID: 3, View: db})
		must(err)
		return rows
	}
	db, restoredDB, log := memdb.New(), memdb.New(), &replayed{}
	rows := open(db)
	commits := 1 + rng.IntN(6)
	crashed := rng.IntN(commits) // the restored directory has this commit already
	for c := range commits {
		randomJoinOps(must, rng, rows, kind)
		b := db.NewBatch()
		must(rows.Drain(b, log))
		must(db.Apply(b))
		rows.Committed()
		if c == crashed && rng.IntN(2) == 0 {
			copyRows(must, db, restoredDB)
		}
	}
	r := &Restorer{Engine: restoredDB, Spec: spec, ID: 3}
	for _, i := range log.compacted(rng) {
		must(r.add(int64(i), log.times[i], log.keys[i], log.values[i]))
		if rng.IntN(10) == 0 {
			must(r.apply(int64(i)))
		}
	}
	must(r.apply(int64(len(log.keys))))
	want, got := joinContents(must, open(db)), joinContents(must, open(restoredDB))
	if !slices.Equal(got, want) {
		t.Fatalf("%v, seed %d: restored\n%v\nwant\n%v", kind, seed, got, want)
	}
}

func joinKey(i int) []byte { return fmt.Append(nil, "k", "\x00\x00\x00"[:i%3], i/3) }

func randomJoinOps(must func(error), rng *rand.Rand, rows state.JoinRows[int64], kind state.Kind) {
	for range rng.IntN(12) {
		key, at := joinKey(rng.IntN(6)), rng.Int64N(4)*700
		switch rng.IntN(4) {
		case 0:
			if kind == state.KindJoin {
				_, err := rows.Fetch(nil, key, state.HashKey(key), at, at+700)
				must(err)
			}
		case 1:
			k, ok, err := rows.WaitingFrom(at)
			must(err)
			if ok {
				_, err = rows.Take(nil, k)
				must(err)
			}
		default:
			waits := kind == state.KindHeld || rng.IntN(2) == 0
			must(rows.Put(state.JoinRow[int64]{Time: at, Value: rng.Int64N(100)}, rng.Uint32N(1<<30)<<1|1, key, state.HashKey(key), waits))
		}
	}
}

func copyRows(must func(error), from, to state.Engine) {
	it, err := from.Iter(nil, nil, false)
	must(err)
	defer it.Close()
	b := to.NewBatch()
	for it.Next() {
		must(b.Set(it.Key(), it.Value()))
	}
	must(to.Apply(b))
}

// joinContents are all rows that wait, in their order, and all rows of a join.
func joinContents(must func(error), rows state.JoinRows[int64]) (out []string) {
	k, ok, err := rows.WaitingFrom(0)
	for ; ok; k, ok, err = rows.WaitingBehind(k) {
		must(err)
		taken, err := rows.Take(nil, k)
		must(err)
		out = append(out, fmt.Sprintf("%d %q waits %v", k.Time, k.Key, taken))
	}
	must(err)
	if rows.Spec().Kind == state.KindHeld {
		return out
	}
	for i := range 6 {
		found, err := rows.Fetch(nil, joinKey(i), state.HashKey(joinKey(i)), 0, 10_000)
		must(err)
		out = append(out, fmt.Sprintf("%q %v", joinKey(i), found))
	}
	return out
}
