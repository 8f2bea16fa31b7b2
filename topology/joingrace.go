package topology

import (
	"math"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// JoinTableAfter is [JoinTable] that holds each record back for a grace period, so
// that updates of the table which come out of order still count: the record joins
// with the row of its own time, once stream time, the highest time of the records
// of the stream, is beyond its time by grace. The table needs [state.Versioned],
// with a history of at least the grace.
//
// Records leave by time, then encoded key, then arrival, with their own headers and
// origin. Only records of the stream let others leave. One that is older than the
// grace when it comes joins at once. What waits lies in the given store, which has
// a changelog. The grace may change between versions up to the power of two, in
// milliseconds, that it reaches; beyond that give the store another name.
func JoinTableAfter[K, V, T, W any](s *Stream[K, V], t *Table[K, T], grace time.Duration, join func(V, T) W,
	store state.HeldStore[K, V]) *Stream[K, W] {
	both := func(v V, row processor.Opt[T]) W { return join(v, row.Value) }
	d := graceJoinDecl[K, K, V, T, W]{kind: "join-table-after", grace: grace, join: both, missing: join == nil, store: store,
		stored: processor.Some[K], back: func(k K) K { return k }}
	return d.declare(s, t)
}

// LeftJoinTableAfter is [JoinTableAfter] that keeps the records without a row: join
// gets an absent row for them.
func LeftJoinTableAfter[K, V, T, W any](s *Stream[K, V], t *Table[K, T], grace time.Duration, join func(V, processor.Opt[T]) W,
	store state.HeldStore[K, V]) *Stream[K, W] {
	d := graceJoinDecl[K, K, V, T, W]{kind: "left-join-table-after", grace: grace, join: join, missing: join == nil, left: true,
		store: store, stored: processor.Some[K], back: func(k K) K { return k }}
	return d.declare(s, t)
}

// LeftJoinTableAfterOpt is [LeftJoinTableAfter] for a stream whose keys may be null:
// records without a key have no row, and do not wait. They pass through a
// repartition topic above, which would drop them otherwise.
func LeftJoinTableAfterOpt[K, V, T, W any](s *Stream[processor.Opt[K], V], t *Table[K, T], grace time.Duration,
	join func(V, processor.Opt[T]) W, store state.HeldStore[K, V]) *Stream[processor.Opt[K], W] {
	s.n.keepNullKeysAbove()
	same := func(k processor.Opt[K]) processor.Opt[K] { return k }
	d := graceJoinDecl[processor.Opt[K], K, V, T, W]{kind: "left-join-table-after", grace: grace, join: join, missing: join == nil,
		left: true, store: store, stored: same, back: processor.Some[K]}
	return d.declare(s, t)
}

// graceJoinDecl is a declared join of a stream, with keys S, and a table.
type graceJoinDecl[S, K, V, T, W any] struct {
	kind    string
	grace   time.Duration
	join    func(V, processor.Opt[T]) W
	missing bool
	left    bool
	store   state.HeldStore[K, V]
	stored  func(S) processor.Opt[K]
	back    func(K) S
}

func (d *graceJoinDecl[S, K, V, T, W]) declare(s *Stream[S, V], t *Table[K, T]) *Stream[S, W] {
	n := s.b.add(d.kind, s.n)
	spec := d.store.Spec()
	n.name = spec.Name
	n.detail = append(n.detail, "store", spec.Name, "grace", d.grace.String())
	out := &Stream[S, W]{b: s.b, n: n, streamFacts: s.streamFacts}
	out.sourceKey = "" // results leave with other records
	if t.b.declarations != s.b.declarations {
		s.b.fail(n.name, "stream and table belong to different topologies; declare them on one Builder")
		return out
	}
	lookUp(n, t.n)
	d.check(s, t, n)
	spec.WindowSize, spec.Retention = state.JoinSlice(2*d.grace), d.grace
	s.b.store(n, d.store, spec, false)
	if t.rowsAt == nil {
		s.b.fail(n.name, "table %s does not remember what its rows were; give it a store made with state.Versioned", t.store)
		return out
	}
	n.wire = func(w *wirer) any {
		j := &graceJoin[S, K, V, T, W]{graceJoinDecl: d, n: n, inst: w.instance, clock: w.instance.joinClock(spec.Name),
			next: below[S, W](w, n), read: t.rowsAt(w, n, streamFacts{})}
		return j.wire(w, spec)
	}
	return out
}

func (d *graceJoinDecl[S, K, V, T, W]) check(s *Stream[S, V], t *Table[K, T], n *node) {
	if d.missing {
		s.b.fail(n.name, "its function is nil; pass one")
	}
	if s.rekeyed != nil {
		s.b.fail(n.name, "the key may have changed at %s, so a record and its row may lie in different partitions; "+
			"insert Repartition(topic) before the join", s.rekeyed.name)
	}
	if d.grace < 0 || d.grace%time.Millisecond != 0 || d.grace > maxJoinReach {
		s.b.fail(n.name, "the grace %v must be a number of whole milliseconds, 0 or more", d.grace)
	} else if t.rowsAt != nil && d.grace > t.history {
		s.b.fail(n.name, "the grace %v is longer than the history of table %s, %v; raise the history", d.grace, t.n.name, t.history)
	}
}

// graceJoin holds back records in one task.
type graceJoin[S, K, V, T, W any] struct {
	*graceJoinDecl[S, K, V, T, W]
	n              *node
	inst           *Instance
	clock          *JoinClock
	rows           state.JoinRows[state.Waiting[V]]
	read           rowReaderAt[K, T]
	next           emit[S, W]
	keys           serde.Serde[K]
	key            []byte
	taken          []state.JoinRow[state.Waiting[V]]
	behind         bool // records that have to leave were left to drain
	null           func(V) bool
	noValue, noKey *uint64
}

func (j *graceJoin[S, K, V, T, W]) wire(w *wirer, spec state.Spec) any {
	rows, err := j.store.OpenRows(w.storeEnv(spec))
	if err != nil {
		w.fail(&NodeError{Node: j.n.name, Err: err})
		return emit[S, V](nil)
	}
	j.rows, j.null = rows, processor.NullCheck[V]()
	j.keys, _ = j.store.KeySerde().(serde.Serde[K])
	j.noValue, j.noKey = w.instance.counter(j.n, DropNullValue), w.instance.counter(j.n, DropNullKey)
	w.instance.addStore(rows)
	w.instance.closers = append(w.instance.closers, closing{j.n.id, j.drain})
	j.behind = true // what had to leave when the task stopped still has to
	w.instance.closing = true
	return emit[S, V](j.process)
}

func (j *graceJoin[S, K, V, T, W]) process(r processor.Record[S, V]) error {
	if j.behind {
		if _, err := j.leave(math.MaxInt); err != nil {
			return err
		}
	}
	j.inst.at = j.n
	if j.null != nil && j.null(r.Value) {
		*j.noValue++
		return nil
	}
	k := j.stored(r.Key)
	switch {
	case k.OK:
		return j.hold(r, k.Value)
	case j.left:
		return j.next(processor.WithKey(r, r.Key, j.join(r.Value, processor.None[T]())))
	}
	*j.noKey++
	return nil
}

// hold keeps a record until its time has come, unless it has already.
func (j *graceJoin[S, K, V, T, W]) hold(r processor.Record[S, V], k K) (err error) {
	t := int64(r.Time)
	j.clock.StreamTime = max(j.clock.StreamTime, t)
	if t < j.due() {
		if err := j.joined(r, k); err != nil {
			return err
		}
	} else {
		if j.key, err = j.keys.Append(j.key[:0], k); err != nil {
			return &NodeError{Node: j.n.name, Class: ClassEncode, Err: err}
		}
		j.clock.Sequence++
		if err := j.rows.Put(state.HoldRecord(r), j.clock.Sequence, j.key, state.HashKey(j.key), true); err != nil {
			return &NodeError{Node: j.n.name, Err: err}
		}
	}
	j.rows.ExpireBelow(j.due())
	_, err = j.leave(leaveBudget)
	return err
}

// due is the time up to which records leave.
func (j *graceJoin[S, K, V, T, W]) due() int64 { return j.clock.StreamTime - j.grace.Milliseconds() }

func (j *graceJoin[S, K, V, T, W]) joined(r processor.Record[S, V], k K) error {
	row, err := j.read(k, r.Time)
	if err != nil || !row.value.OK && !j.left {
		return err
	}
	j.inst.at = j.n
	return j.next(processor.WithKey(r, r.Key, j.join(r.Value, row.value)))
}

// drain is leave behind the record.
func (j *graceJoin[S, K, V, T, W]) drain(budget int) (left int, err error) {
	if !j.behind {
		return budget, nil
	}
	return j.leave(budget)
}

// leave lets up to about budget records leave whose time has come, and returns
// what is left of the budget: none if others have to follow.
func (j *graceJoin[S, K, V, T, W]) leave(budget int) (left int, err error) {
	for {
		first, ok, err := j.rows.WaitingFrom(0)
		if err != nil {
			return 0, &NodeError{Node: j.n.name, Err: err}
		}
		if !ok || first.Time > j.due() {
			j.behind = false
			return budget, nil
		}
		if budget <= 0 {
			j.behind, j.inst.closing = true, true
			return 0, nil
		}
		if err := j.release(first); err != nil {
			return 0, err
		}
		budget -= len(j.taken)
	}
}

// release joins the records of one key and time.
func (j *graceJoin[S, K, V, T, W]) release(at state.WaitingKey) (err error) {
	if j.taken, err = j.rows.Take(j.taken[:0], at); err != nil {
		return &NodeError{Node: j.n.name, Err: err}
	}
	k, err := j.store.ResultKey(at.Key)
	if err != nil {
		return &NodeError{Node: j.n.name, Err: err}
	}
	for _, row := range j.taken {
		r := processor.Record[S, V]{Key: j.back(k), Value: row.Value.New.Value, Time: processor.Timestamp(row.Time),
			Headers: row.Value.Headers, Origin: row.Value.Origin}
		if err := j.joined(r, k); err != nil {
			return err
		}
	}
	return nil
}
