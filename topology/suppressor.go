package topology

import (
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// suppressor holds back updates in one task.
//
// Due updates leave inside the record that makes them due, as in Kafka Streams:
// the next update of the same record may be of one of their keys. Only what goes
// beyond a budget waits until the record is done, so that a clock which jumps over
// a million windows does not fill the memory before the next commit.
type suppressor[K, V any] struct {
	n      *node
	inst   *Instance
	rule   suppression[K]
	bounds Buffer
	handle state.BufferStore[K, V]
	spans  state.Spans[state.Waiting[V]]
	clock  *OperatorClock
	next   emit[K, change[V]]
	values serde.Serde[state.Waiting[V]]
	// behind says that due updates were left to drain.
	behind bool
	// records and bytes are what waits, if they are bounded.
	records, bytes int64
	key, value     []byte
}

// evictBudget bounds how many updates leave inside one record.
const evictBudget = 4 << 10

func (s *suppressor[K, V]) open(w *wirer, spec state.Spec) (err error) {
	if s.spans, err = s.handle.OpenSpans(w.storeEnv(spec)); err != nil {
		return err
	}
	s.spans.Ordered()
	if s.limited() {
		if s.records, s.bytes, err = s.spans.Stored(); err != nil {
			return err
		}
	}
	s.values, _ = s.handle.ValueSerde().(serde.Serde[state.Waiting[V]])
	s.inst.addStore(s.spans)
	s.inst.closers = append(s.inst.closers, closing{s.n.id, s.drain})
	due, err := s.due()
	s.behind = due
	s.inst.closing = s.inst.closing || due
	return err
}

func (s *suppressor[K, V]) limited() bool { return s.bounds.MaxRecords > 0 || s.bounds.MaxBytes > 0 }

func (s *suppressor[K, V]) process(r processor.Record[K, change[V]]) error {
	if s.behind {
		if _, err := s.evict(-1); err != nil {
			return err
		}
	}
	s.inst.at = s.n
	s.clock.StreamTime = max(s.clock.StreamTime, int64(r.Time))
	if err := s.hold(r); err != nil {
		return err
	}
	if _, err := s.evict(evictBudget); err != nil {
		return err
	}
	return s.enforceBounds()
}

// hold puts an update into the buffer. A key that waits already keeps its slot,
// and the old value that its first update had.
func (s *suppressor[K, V]) hold(r processor.Record[K, change[V]]) (err error) {
	if s.key, err = s.handle.AppendKey(s.key[:0], r.Key, s.rule.window); err != nil {
		return &NodeError{Node: s.n.name, Class: ClassEncode, Err: fmt.Errorf("key does not encode: %w", err)}
	}
	waiting, err := s.spans.Of(s.key, state.HashKey(s.key), 0)
	if err != nil {
		return &NodeError{Node: s.n.name, Err: err}
	}
	w := state.Waiting[V]{New: r.Value.New, Old: r.Value.Old, Headers: r.Headers, Origin: r.Origin}
	if waiting.Len() > 0 {
		before := waiting.At(0).Value
		w.Old = before.Old
		waiting.Set(0, w, int64(r.Time))
		return s.count(1, w, -1, before)
	}
	slot := int64(r.Time)
	if s.rule.final {
		_, end := s.rule.window(r.Key)
		slot = int64(end)
	}
	waiting.Replace(0, 0, state.Span[state.Waiting[V]]{Start: slot, End: slot, Time: int64(r.Time), Value: w})
	return s.count(1, w, 0, w)
}

// count keeps account of what waits: so many more of a, and of b.
func (s *suppressor[K, V]) count(more int64, a state.Waiting[V], less int64, b state.Waiting[V]) error {
	if !s.limited() {
		return nil
	}
	s.records += more + less
	if s.bounds.MaxBytes == 0 {
		return nil
	}
	for _, of := range []struct {
		n int64
		w state.Waiting[V]
	}{{more, a}, {less, b}} {
		if of.n == 0 {
			continue
		}
		v, err := s.values.Append(s.value[:0], of.w)
		if err != nil {
			return &NodeError{Node: s.n.name, Class: ClassEncode, Err: fmt.Errorf("value does not encode as %s: %w", s.values.Name(), err)}
		}
		s.value = v
		s.bytes += of.n * int64(len(s.key)+len(v))
	}
	return nil
}

// due says whether an update waits that the clock has reached.
func (s *suppressor[K, V]) due() (bool, error) {
	end, ok, err := s.spans.NextEnd(state.BeforeAll())
	if err != nil {
		return false, &NodeError{Node: s.n.name, Err: err}
	}
	return ok && end <= s.clock.StreamTime-s.rule.lag, nil
}

// evict passes on up to budget due updates, all if it is negative, and returns
// what is left of the budget. What then is still due is left to drain.
func (s *suppressor[K, V]) evict(budget int) (left int, err error) {
	for {
		due, err := s.due()
		if err != nil || !due {
			s.behind = false
			return budget, err
		}
		if budget == 0 {
			s.behind, s.inst.closing = true, true
			return 0, nil
		}
		budget--
		if err := s.release(); err != nil {
			return 0, err
		}
	}
}

// drain is evict behind the record.
func (s *suppressor[K, V]) drain(budget int) (left int, err error) {
	if !s.behind {
		return budget, nil
	}
	return s.evict(budget)
}

func (s *suppressor[K, V]) full() bool {
	return s.bounds.MaxRecords > 0 && s.records > s.bounds.MaxRecords || s.bounds.MaxBytes > 0 && s.bytes > s.bounds.MaxBytes
}

func (s *suppressor[K, V]) enforceBounds() error {
	for s.full() {
		if s.bounds.WhenFull == Stop {
			return &BufferFullError{Node: s.n.name, Records: s.records, Bytes: s.bytes}
		}
		if err := s.release(); err != nil {
			return err
		}
	}
	return nil
}

// release passes on the update that is due first.
func (s *suppressor[K, V]) release() error {
	s.inst.at = s.n
	cell, ok, err := s.spans.Next(state.BeforeAll())
	if err == nil && !ok {
		err = fmt.Errorf("its buffer is empty, but counts %d updates of %d bytes; rebuild the store %s from its changelog",
			s.records, s.bytes, s.handle.Spec().Name)
	}
	if err != nil {
		return &NodeError{Node: s.n.name, Err: err}
	}
	waiting, err := s.spans.Of(cell.Key, state.HashKey(cell.Key), 0)
	if err != nil {
		return &NodeError{Node: s.n.name, Err: err}
	}
	waiting.Remove(0, waiting.Len())
	s.key = append(s.key[:0], cell.Key...)
	w := cell.Value
	if err := s.count(0, w, -1, w); err != nil {
		return err
	}
	if s.rule.final && !w.New.OK {
		return nil
	}
	key, err := s.handle.ResultKey(cell.Key)
	if err != nil {
		return &NodeError{Node: s.n.name, Err: fmt.Errorf("key in the buffer %s does not decode: %w", s.handle.Spec().Name, err)}
	}
	return s.next(processor.Record[K, change[V]]{Key: key, Value: change[V]{Old: w.Old, New: w.New},
		Time: processor.Timestamp(cell.Time), Headers: w.Headers, Origin: w.Origin})
}
