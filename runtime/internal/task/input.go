package task

import (
	"fmt"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/topology"
)

// input is the queue of one source topic, in the task's partition.
type input struct {
	tp     commitlog.TopicPartition
	source *topology.SourceTask
	queue  []recordbatch.Batch
	bytes  int
	it     recordbatch.Iterator
	open   bool // it walks queue[0]
	// next is the offset after the last record that was processed or dropped: what
	// a commit writes. It trails the head, if there is one.
	next      int64
	fetched   int64 // the reader's position
	gap       bool  // next has moved over offsets that are no records since the last commit
	stableEnd int64
	ahead     [lookAhead]topology.Raw // parsed records, of which those from at are to come
	at, n     int
	raw       *topology.Raw // the record at hand, in ahead
	head      bool          // raw is staged in source, with headTime
	headTime  processor.Timestamp
}

// feed queues batches. moved says that it went over offsets that are no records.
func (in *input) feed(f commitlog.Fetched) (moved bool) {
	for _, b := range f.Batches {
		in.bytes += len(b.Raw)
	}
	in.queue = append(in.queue, f.Batches...)
	in.fetched, in.stableEnd = f.Next, f.StableEnd
	return in.skipGap()
}

// skipGap moves to the reader's position if nothing is queued before it: between
// the last record and that position there are markers or emptied batches only.
func (in *input) skipGap() bool {
	if len(in.queue) > 0 || in.head || in.fetched <= in.next {
		return false
	}
	in.next, in.gap = in.fetched, true
	return true
}

// behind says that records exist which have not been fetched yet.
func (in *input) behind() bool { return in.fetched < in.stableEnd }

// lookAhead is how many records are parsed and warmed at a time.
const lookAhead = 16

// advance moves to the next raw record. ok is false if the queue is empty.
func (in *input) advance() (ok bool, err error) {
	for {
		for in.at < in.n {
			in.raw = &in.ahead[in.at]
			in.at++
			if in.raw.Offset >= in.next {
				return true, nil
			}
		}
		if !in.open {
			if len(in.queue) == 0 {
				return false, nil
			}
			in.it, in.open = in.queue[0].Records(), true
		}
		if err := in.parse(); err != nil {
			return false, err
		}
		if in.n > 0 {
			in.source.Warm(in.ahead[:in.n])
			continue
		}
		if err := in.it.Err(); err != nil {
			return false, fmt.Errorf("%s: %w", in.tp, err)
		}
		in.endBatch()
	}
}

// parse fills ahead from the open batch.
func (in *input) parse() error {
	in.at, in.n = 0, 0
	for in.n < lookAhead && in.it.Next() {
		if err := in.take(&in.ahead[in.n]); err != nil {
			return err
		}
		in.n++
	}
	return nil
}

// endBatch leaves a batch behind. Its end may lie beyond its last record.
func (in *input) endBatch() {
	b := in.queue[0]
	in.next = max(in.next, b.NextOffset())
	in.bytes -= len(b.Raw)
	in.queue[0] = recordbatch.Batch{}
	in.queue, in.open = in.queue[1:], false
	if len(in.queue) == 0 {
		in.queue = nil
		in.skipGap()
	}
}

func (in *input) take(raw *topology.Raw) error {
	*raw = topology.Raw{Offset: in.it.Offset, Time: in.it.Time, Key: in.it.Key, Value: in.it.Value}
	if in.it.HeaderCount == 0 {
		return nil
	}
	headers, err := in.it.Headers()
	if err != nil {
		return fmt.Errorf("%s offset %d: headers: %w", in.tp, in.it.Offset, err)
	}
	raw.Headers = changelog.RecordHeaders(headers)
	return nil
}

// done leaves the staged record behind.
func (in *input) done() { in.next, in.head = in.raw.Offset+1, false }
