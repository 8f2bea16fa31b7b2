package kafka

import (
	"sync/atomic"
	"time"
)

// WriterStats are totals since OpenWriter, for metrics.
type WriterStats struct {
	Committed int64         // transactions
	Aborted   int64         // transactions, those that never left the process included
	Retried   int64         // rounds of produce requests that were sent again
	Epoch     int64         // now
	Commit    time.Duration // spent in Commit, failed ones included
}

type counters struct{ committed, aborted, retried, commitTime atomic.Int64 }

// Stats may be called from any goroutine.
func (w *Writer) Stats() WriterStats {
	return WriterStats{
		Committed: w.counters.committed.Load(),
		Aborted:   w.counters.aborted.Load(),
		Retried:   w.counters.retried.Load(),
		Epoch:     w.Epoch(),
		Commit:    time.Duration(w.counters.commitTime.Load()),
	}
}
