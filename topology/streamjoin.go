package topology

import (
	"fmt"
	"math"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// JoinClock is what a join of two streams knows beside its rows.
type JoinClock struct {
	// StreamTime is the highest event time that reached either side, with dropped
	// records.
	StreamTime int64 `json:"stream_time"`
	// Left and Right are the highest times of the records of each side that were not
	// dropped. They decide what the side still remembers.
	Left  int64 `json:"left"`
	Right int64 `json:"right"`
	// Low is the time that stream time has to leave behind before the rows that wait
	// are looked at again.
	Low int64 `json:"low"`
	// Sequence counts the rows of both sides.
	Sequence uint32 `json:"sequence"`
	// Leaving is the record whose arrival lets rows leave without a partner, while
	// some of them have still to do so.
	Leaving *JoinTrigger `json:"leaving,omitempty"`
}

// JoinTrigger is what unmatched results take from the record that lets them leave.
type JoinTrigger struct {
	Time    int64              `json:"time"`
	Headers []processor.Header `json:"headers,omitempty"`
	Origin  processor.Origin   `json:"origin"`
}

func newJoinClock() *JoinClock {
	none := int64(processor.NoTime)
	return &JoinClock{StreamTime: none, Left: none, Right: none, Low: math.MaxInt64}
}

func (i *Instance) joinClock(name string) *JoinClock {
	c := i.clocks.Joins[name]
	if c == nil {
		if i.clocks.Joins == nil {
			i.clocks.Joins = map[string]*JoinClock{}
		}
		c = newJoinClock()
		i.clocks.Joins[name] = c
	}
	return c
}

// streamJoin is a join of two streams in one task: what both sides share.
type streamJoin[K, L, R, V any] struct {
	*streamJoinDecl[K, L, R, V]
	n                     *node
	inst                  *Instance
	clock                 *JoinClock
	left                  state.JoinRows[L]
	right                 state.JoinRows[R]
	leftReach, rightReach joinReach
	next                  emit[K, V]
	leftRows              []state.JoinRow[L] // scratch
	rightRows             []state.JoinRow[R]
}

// wireStreamJoin builds what the sides share, once per task.
func wireStreamJoin[K, L, R, V any](w *wirer, n *node, d *streamJoinDecl[K, L, R, V], left, right state.Spec) any {
	j := &streamJoin[K, L, R, V]{streamJoinDecl: d, n: n, inst: w.instance, clock: w.instance.joinClock(left.Name),
		next: below[K, V](w, n)}
	j.leftReach, j.rightReach = d.window.sides()
	var err error
	if j.left, err = d.store.Left().OpenRows(w.storeEnv(left)); err == nil {
		j.right, err = d.store.Right().OpenRows(w.storeEnv(right))
	}
	if err != nil {
		w.fail(&NodeError{Node: n.name, Err: err})
		return j
	}
	w.instance.addStore(j.left)
	w.instance.addStore(j.right)
	j.expire()
	if d.keepLeft || d.keepRight {
		w.instance.closers = append(w.instance.closers, closing{n.id, j.drain})
		w.instance.closing = w.instance.closing || j.clock.Leaving != nil
	}
	return j
}

func sharedJoin[K, L, R, V any](w *wirer, n *node) (j *streamJoin[K, L, R, V], failed bool) {
	built, ok := w.entries[n]
	if !ok {
		built = n.wire(w)
		w.entries[n] = built
	}
	j = built.(*streamJoin[K, L, R, V])
	return j, j.right == nil
}

func wireLeftOfJoin[K, L, R, V any](w *wirer, n *node, d *streamJoinDecl[K, L, R, V], facts streamFacts) any {
	j, failed := sharedJoin[K, L, R, V](w, n)
	if failed {
		return emit[K, L](nil)
	}
	side := &streamJoinSide[K, L, R, V]{shared: j, reach: j.leftReach, mine: j.left, other: j.right, keep: d.keepLeft,
		newest: &j.clock.Left, otherNewest: &j.clock.Right,
		join: func(l processor.Opt[L], r processor.Opt[R]) V { return d.join(l, r) }}
	return side.wire(w, d.store.Left().KeySerde(), facts)
}

func wireRightOfJoin[K, L, R, V any](w *wirer, n *node, d *streamJoinDecl[K, L, R, V], facts streamFacts) any {
	j, failed := sharedJoin[K, L, R, V](w, n)
	if failed {
		return emit[K, R](nil)
	}
	side := &streamJoinSide[K, R, L, V]{shared: j, reach: j.rightReach, mine: j.right, other: j.left, keep: d.keepRight,
		newest: &j.clock.Right, otherNewest: &j.clock.Left,
		join: func(r processor.Opt[R], l processor.Opt[L]) V { return d.join(l, r) }}
	return side.wire(w, d.store.Right().KeySerde(), facts)
}

// joinShared is a streamJoin as a side uses it, whatever the types of the other.
type joinShared[K, V any] interface {
	// at returns the node, the clock, and where results go.
	at() (*node, *Instance, *JoinClock, emit[K, V])
	// finish lets everything leave that has to, and leave looks whether something
	// has.
	finish() error
	leave(lag int64, t JoinTrigger) error
	expire()
}

func (j *streamJoin[K, L, R, V]) at() (*node, *Instance, *JoinClock, emit[K, V]) {
	return j.n, j.inst, j.clock, j.next
}

// expire lets each side forget what its newest record hides, unless it may have
// to wait.
func (j *streamJoin[K, L, R, V]) expire() {
	j.left.ExpireBelow(j.leftReach.oldest(j.clock.Left, j.clock.StreamTime))
	j.right.ExpireBelow(j.rightReach.oldest(j.clock.Right, j.clock.StreamTime))
}

// visibleFrom is the time below which a side hides its rows.
func (r joinReach) visibleFrom(newest int64) int64 { return newest - r.retention + 1 }

func (r joinReach) oldest(newest, streamTime int64) int64 {
	return min(r.visibleFrom(newest), streamTime-max(r.lag, 0))
}

// streamJoinSide is one side of a join in one task: records with values M, which
// meet those with values O.
type streamJoinSide[K, M, O, V any] struct {
	shared              joinShared[K, V]
	n                   *node
	inst                *Instance
	clock               *JoinClock
	next                emit[K, V]
	reach               joinReach
	mine                state.JoinRows[M]
	other               state.JoinRows[O]
	newest, otherNewest *int64
	keep                bool
	join                func(processor.Opt[M], processor.Opt[O]) V
	keys                keyEncoder[K]
	nullKey             func(K) bool
	nullValue           func(M) bool
	noKey, noValue      *uint64
	matches             []state.JoinRow[O]
}

func (s *streamJoinSide[K, M, O, V]) wire(w *wirer, keys any, facts streamFacts) any {
	s.n, s.inst, s.clock, s.next = s.shared.at()
	if _, ok := keys.(serde.Serde[K]); !ok {
		w.fail(&NodeError{Node: s.n.name, Err: fmt.Errorf("its store has no serde of its keys")})
		return emit[K, M](nil)
	}
	s.keys = newKeyEncoder[K](w, feedEnv{n: s.n, keySerde: keys}, facts)
	if s.keys.fromSource {
		w.warm(s.mine)
		w.warm(s.other)
	}
	s.nullKey, s.nullValue = processor.NullCheck[K](), processor.NullCheck[M]()
	s.noKey, s.noValue = s.inst.counter(s.n, DropNullKey), s.inst.counter(s.n, DropNullValue)
	return emit[K, M](s.process)
}

func (s *streamJoinSide[K, M, O, V]) process(r processor.Record[K, M]) error {
	s.inst.at = s.n
	if s.clock.Leaving != nil {
		if err := s.shared.finish(); err != nil {
			return err
		}
	}
	s.clock.StreamTime = max(s.clock.StreamTime, int64(r.Time))
	if s.nullValue != nil && s.nullValue(r.Value) {
		*s.noValue++
		return nil
	}
	switch {
	case s.nullKey == nil || !s.nullKey(r.Key):
		return s.meet(r)
	case s.keep:
		return s.unmatched(r)
	}
	*s.noKey++
	return nil
}

// meet lets a record with key and value meet the other side, and remembers it.
func (s *streamJoinSide[K, M, O, V]) meet(r processor.Record[K, M]) error {
	t := int64(r.Time)
	if t == s.clock.StreamTime {
		if err := s.shared.leave(s.reach.lag, JoinTrigger{Time: t, Headers: r.Headers, Origin: r.Origin}); err != nil {
			return err
		}
	}
	key, hash, err := s.keys.encode(r.Key)
	if err != nil {
		return err
	}
	from, to := s.reach.partners(t)
	met, err := s.other.Fetch(s.matches[:0], key, hash, max(from, s.reach.visibleFrom(*s.otherNewest)), to)
	if err != nil {
		return &NodeError{Node: s.n.name, Err: err}
	}
	s.matches = met
	for i := range met {
		joined := processor.WithKey(r, r.Key, s.join(processor.Some(r.Value), processor.Some(met[i].Value)))
		joined.Time = max(joined.Time, processor.Timestamp(met[i].Time))
		if err := s.next(joined); err != nil {
			return err
		}
		s.inst.at = s.n
	}
	waits := false
	if s.keep && len(met) == 0 {
		if waits = s.clock.StreamTime <= to; !waits {
			if err := s.unmatched(r); err != nil {
				return err
			}
		}
	}
	return s.remember(r, key, hash, waits)
}

func (s *streamJoinSide[K, M, O, V]) unmatched(r processor.Record[K, M]) error {
	s.inst.at = s.n
	return s.next(processor.WithKey(r, r.Key, s.join(processor.Some(r.Value), processor.None[O]())))
}

// remember puts a record into its store unless its own side hides it already.
func (s *streamJoinSide[K, M, O, V]) remember(r processor.Record[K, M], key []byte, hash uint32, waits bool) error {
	t := int64(r.Time)
	*s.newest = max(*s.newest, t)
	if waits {
		s.clock.Low = min(s.clock.Low, t)
	} else if t < s.reach.visibleFrom(*s.newest) {
		return nil
	}
	s.clock.Sequence++
	row := state.JoinRow[M]{Time: t, Value: r.Value}
	if err := s.mine.Put(row, s.clock.Sequence, key, hash, waits); err != nil {
		return &NodeError{Node: s.n.name, Err: err}
	}
	s.shared.expire()
	return nil
}
