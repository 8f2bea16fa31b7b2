package recordbatch

import "encoding/binary"

// Types of control records, as their keys say.
const (
	markerAbort  = 0
	markerCommit = 1
)

// Marker returns what the transaction marker in a control batch says. ok is false
// if there is none: the batch holds records, was emptied by compaction, or is a
// control batch of another kind (brokers keep some for themselves).
func (b Batch) Marker() (committed, ok bool) {
	if !b.Control() {
		return false, false
	}
	it := b.Records()
	if !it.Next() || len(it.Key) < 4 {
		return false, false
	}
	switch binary.BigEndian.Uint16(it.Key[2:]) {
	case markerAbort:
		return false, true
	case markerCommit:
		return true, true
	}
	return false, false
}
