package kafka

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// abortedFilter tells which batches of one fetch reply belong to aborted
// transactions. The broker lists them by producer and first offset; a transaction
// ends with the producer's next marker. Each reply has a list of its own, which
// also names the transactions that began before the offset asked for, so nothing
// is carried from reply to reply.
type abortedFilter struct {
	begins []kmsg.FetchResponseTopicPartitionAbortedTransaction // those still to come, by first offset
	active map[int64]bool                                       // producers in an aborted transaction
}

// newAbortedFilter sorts the list, since brokers do not promise an order.
func newAbortedFilter(list []kmsg.FetchResponseTopicPartitionAbortedTransaction) abortedFilter {
	if len(list) == 0 {
		return abortedFilter{}
	}
	begins := slices.Clone(list)
	slices.SortFunc(begins, func(a, b kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
		return cmp.Compare(a.FirstOffset, b.FirstOffset)
	})
	return abortedFilter{begins: begins, active: make(map[int64]bool, len(begins))}
}

// hides reports whether a batch is not to be delivered: a control batch, one of
// an aborted transaction, or one that compaction has emptied. It must see all
// batches of the reply in order.
func (f *abortedFilter) hides(b *recordbatch.Batch) bool {
	for len(f.begins) > 0 && f.begins[0].FirstOffset <= b.LastOffset() {
		f.active[f.begins[0].ProducerID] = true
		f.begins = f.begins[1:]
	}
	if b.Control() {
		// By the producer's id alone: with the newer transaction protocol the marker
		// carries an epoch above that of the data. A commit marker of an aborted
		// producer would contradict the list; it too ends whatever was open.
		if _, marker := b.Marker(); marker {
			delete(f.active, b.Producer.ID)
		}
		return true
	}
	return b.Count == 0 || b.Transactional() && f.active[b.Producer.ID]
}
