package embedded

import "sync/atomic"

// Stats are counts since Open.
type Stats struct {
	JournalSyncs int64 // fsyncs of the journal, shared by the commits waiting
	JournalBytes int64 // written to journals, framing included
	SegmentSyncs int64
	SegmentBytes int64 // written to segments
	SegmentReads int64 // reads that memory could not serve
	Transactions int64 // committed
	Checkpoints  int64 // recovery points written
	TailBytes    int64 // batches in memory now
	Unwritten    int64 // bytes that are in the journal only, now
}

type counters struct {
	journalSyncs, journalBytes, segmentSyncs, segmentBytes, segmentReads, transactions, checkpoints atomic.Int64
}

// Stats returns what the log has done so far.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	tailBytes, unwritten := l.mu.state.tail.bytes, l.mu.state.tail.unwritten
	l.mu.Unlock()
	c := &l.counters
	return Stats{
		JournalSyncs: c.journalSyncs.Load(), JournalBytes: c.journalBytes.Load(),
		SegmentSyncs: c.segmentSyncs.Load(), SegmentBytes: c.segmentBytes.Load(), SegmentReads: c.segmentReads.Load(),
		Transactions: c.transactions.Load(), Checkpoints: c.checkpoints.Load(),
		TailBytes: tailBytes, Unwritten: unwritten,
	}
}
