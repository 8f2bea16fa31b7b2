package topology

import (
	"math"
	"slices"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// slidingStep takes a record into the windows of its key as Kafka Streams does: it
// updates every window that holds the record's time, and makes up to three more,
//
//   - the one that begins behind the record before it, if this record is the first
//     in it,
//   - the one that ends with the record,
//   - the one that begins behind the record, if there are later ones,
//
// taking over the aggregate of a neighbour that holds the same records.
func slidingStep[G, V, A any](f *spanFold[G, A], clock *OperatorClock, late *uint64,
	add func(processor.Opt[A], V) processor.Opt[A]) spanStep[G, V] {
	s := &slide[G, V, A]{fold: f, add: add, diff: f.windows.size.Milliseconds()}
	return func(key []byte, hash uint32, r processor.Record[G, V]) (err error) {
		f.inst.at = f.n
		s.ts, s.r = int64(r.Time), r
		s.open = clock.StreamTime - f.windows.closeLag()
		if saturatingAdd(s.ts, s.diff) < max(s.open, f.spans.Horizon()) {
			*late++
			return nil
		}
		s.from = max(0, s.ts-2*s.diff)
		if s.ts < s.diff {
			s.from = 0
		}
		if s.spans, err = f.spans.Of(key, hash, saturatingAdd(s.from, s.diff)); err != nil {
			return &NodeError{Node: f.n.name, Err: err}
		}
		s.met = s.met[:0]
		if s.ts < s.diff {
			return s.early()
		}
		return s.take()
	}
}

// slide is the work on one record.
type slide[G, V, A any] struct {
	fold  *spanFold[G, A]
	add   func(processor.Opt[A], V) processor.Opt[A]
	diff  int64
	ts    int64
	open  int64 // windows that end before have closed
	from  int64 // start of the oldest window that matters
	r     processor.Record[G, V]
	spans state.KeySpans[A]
	met   []int64 // starts of the windows passed, newest first
}

// held is an aggregate and the time of the newest record in it.
type held[A any] struct {
	agg  processor.Opt[A]
	time int64
}

func heldBy[A any](w *state.Span[A]) held[A] { return held[A]{processor.Some(w.Value), w.Time} }

// newest is the position of the newest window that may matter: the one that begins
// right behind the record.
func (s *slide[G, V, A]) newest() int {
	return s.spans.Search(saturatingAdd(saturatingAdd(s.ts, s.diff), 2)) - 1
}

// oldest is the position before which windows do not matter or have expired.
func (s *slide[G, V, A]) oldest() int { return s.spans.Search(saturatingAdd(s.from, s.diff)) }

// take walks the windows of the key from the newest to the first that ended before
// the record.
func (s *slide[G, V, A]) take() error {
	var left, right held[A]
	previous := int64(-1) // time of the record before this one, if it is near
	ends, follows := false, false
	for i, oldest := s.newest(), s.oldest(); i >= oldest; i-- {
		w := s.spans.At(i)
		start, end, this := w.Start, w.End, heldBy(w)
		s.met = append(s.met, start)
		if start == s.ts+1 {
			follows = true
			continue
		}
		if end < s.ts {
			left, previous = this, this.time
			break
		}
		if end > s.ts && !right.agg.OK {
			right = this
		}
		if err := s.put(start, this); err != nil {
			return err
		}
		if end == s.ts {
			ends = true
			if this.time >= s.ts {
				return nil // its neighbours exist since a record of the same time
			}
			previous = this.time
		}
	}
	if err := s.behindPrevious(previous); err != nil {
		return err
	}
	if !ends {
		base := held[A]{s.fold.empty(), s.ts}
		if previous >= 0 && s.ts-s.diff <= previous {
			base = held[A]{left.agg, s.ts}
		}
		if err := s.put(s.ts-s.diff, base); err != nil {
			return err
		}
	}
	if follows {
		return nil
	}
	return s.behindThis(right)
}

// early is take for records before time diff, which share the window that begins
// at 0.
func (s *slide[G, V, A]) early() error {
	var right held[A]
	shared := held[A]{s.fold.empty(), s.ts}
	previous := int64(-1)
	follows, sharedMet := false, false
	for i, oldest := s.newest(), s.oldest(); i >= oldest; i-- {
		w := s.spans.At(i)
		start, this := w.Start, heldBy(w)
		s.met = append(s.met, start)
		switch {
		case start == s.ts+1:
			follows = true
		case start == 0:
			shared, sharedMet = this, true
			if this.time < s.ts {
				previous = this.time
			}
		default:
			if !right.agg.OK {
				right = this
			}
			if err := s.put(start, this); err != nil {
				return err
			}
		}
	}
	if !right.agg.OK && sharedMet && shared.time > s.ts {
		right = shared // it holds later records only
	}
	if err := s.behindPrevious(previous); err != nil {
		return err
	}
	if err := s.put(0, shared); err != nil {
		return err
	}
	if follows {
		return nil
	}
	return s.behindThis(right)
}

// behindPrevious makes the window that begins behind the record before this one,
// of which this record is the first.
func (s *slide[G, V, A]) behindPrevious(previous int64) error {
	start := previous + 1
	if previous < 0 || start+s.diff < s.ts || slices.Contains(s.met, start) {
		return nil
	}
	return s.put(start, held[A]{s.fold.empty(), s.ts})
}

// behindThis makes the window that begins behind this record, which later ones are
// in already.
func (s *slide[G, V, A]) behindThis(right held[A]) error {
	if !right.agg.OK || right.time <= s.ts || s.ts >= math.MaxInt64-1-s.diff {
		return nil
	}
	return s.write(s.ts+1, right)
}

// put adds the record to an aggregate and writes it to a window, unless that has
// closed.
func (s *slide[G, V, A]) put(start int64, base held[A]) error {
	if start > math.MaxInt64-s.diff || start+s.diff < s.open {
		return nil
	}
	// Passing a record on may have left the node at hand to be another one.
	s.fold.inst.at = s.fold.n
	time := s.ts
	if base.agg.OK {
		time = max(time, base.time)
	}
	return s.write(start, held[A]{s.add(base.agg, s.r.Value), time})
}

func (s *slide[G, V, A]) write(start int64, h held[A]) error {
	end := start + s.diff
	c := change[A]{New: h.agg}
	if i := s.spans.Find(start, end); i >= 0 {
		c.Old = processor.Some(s.spans.At(i).Value)
		if h.agg.OK {
			s.spans.Set(i, h.agg.Value, h.time)
		} else {
			s.spans.Remove(i, i+1)
		}
	} else if h.agg.OK {
		at := s.spans.Search(end)
		s.spans.Replace(at, at, state.Span[A]{Start: start, End: end, Time: h.time, Value: h.agg.Value})
	}
	return emitSpan(s.fold, s.r, start, end, h.time, c)
}
