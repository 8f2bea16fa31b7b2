package topology

import (
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// sessionStep merges the sessions that a record touches and the record into one.
//
// The aggregate begins with what Init makes; each old session is merged into it in
// the order of time, then the record is added. Every old session comes out as
// deleted with its end as time, then the new one with its own end. A record that
// hits a session of just its own time changes it in place.
func sessionStep[G, V, A any](f *spanFold[G, A], clock *OperatorClock, late *uint64,
	add func(processor.Opt[A], V) processor.Opt[A]) spanStep[G, V] {
	gap, lag := f.windows.size.Milliseconds(), f.windows.closeLag()
	var gone []state.Span[A] // the sessions merged, kept from record to record for their memory
	return func(key []byte, hash uint32, r processor.Record[G, V]) error {
		f.inst.at = f.n
		ts := int64(r.Time)
		spans, err := f.spans.Of(key, hash, ts-gap)
		if err != nil {
			return &NodeError{Node: f.n.name, Err: err}
		}
		first := spans.Search(ts - gap)
		last, start, end := first, ts, ts
		for ; last < spans.Len() && spans.At(last).Start <= saturatingAdd(ts, gap); last++ {
			start, end = min(start, spans.At(last).Start), max(end, spans.At(last).End)
		}
		if end < max(clock.StreamTime-lag, f.spans.Horizon()) {
			*late++
			return nil
		}
		agg := f.empty()
		gone = gone[:0]
		for i := first; i < last; i++ {
			old := spans.At(i)
			agg = f.merge(agg, processor.Some(old.Value))
			gone = append(gone, *old)
		}
		agg = add(agg, r.Value)
		if agg.OK {
			spans.Replace(first, last, state.Span[A]{Start: start, End: end, Time: end, Value: agg.Value})
		} else {
			spans.Remove(first, last)
		}
		updated := change[A]{New: agg}
		if start == end && last > first {
			updated.Old = processor.Some(gone[0].Value)
		} else {
			for _, old := range gone {
				deleted := change[A]{Old: processor.Some(old.Value)}
				if err := emitSpan(f, r, old.Start, old.End, old.End, deleted); err != nil {
					return err
				}
			}
		}
		return emitSpan(f, r, start, end, end, updated)
	}
}
