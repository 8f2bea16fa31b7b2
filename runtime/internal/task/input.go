package task

import (
	"fmt"

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
	stableEnd int64
	raw       topology.Raw
	head      bool // raw is staged in source, with headTime
	headTime  processor.Timestamp
}

func (in *input) feed(f commitlog.Fetched) {
	for _, b := range f.Batches {
		in.bytes += len(b.Raw)
	}
	in.queue = append(in.queue, f.Batches...)
	in.fetched, in.stableEnd = f.Next, f.StableEnd
	if len(in.queue) == 0 && !in.head {
		in.next = max(in.next, f.Next)
	}
}

// behind says that records exist which have not been fetched yet.
func (in *input) behind() bool { return in.fetched < in.stableEnd }

// advance moves to the next raw record. ok is false if the queue is empty.
func (in *input) advance() (ok bool, err error) {
	for {
		if !in.open {
			if len(in.queue) == 0 {
				return false, nil
			}
			in.it, in.open = in.queue[0].Records(), true
		}
		for in.it.Next() {
			if in.it.Offset >= in.next {
				return true, in.take()
			}
		}
		if err := in.it.Err(); err != nil {
			return false, fmt.Errorf("%s: %w", in.tp, err)
		}
		in.endBatch()
	}
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
	}
}

func (in *input) take() error {
	in.raw.Offset, in.raw.Time = in.it.Offset, in.it.Time
	in.raw.Key, in.raw.Value = in.it.Key, in.it.Value
	in.raw.Headers = nil
	if in.it.HeaderCount == 0 {
		return nil
	}
	headers, err := in.it.Headers()
	if err != nil {
		return fmt.Errorf("%s offset %d: headers: %w", in.tp, in.it.Offset, err)
	}
	in.raw.Headers = make([]processor.Header, len(headers))
	for i, h := range headers {
		in.raw.Headers[i] = processor.Header{Key: h.Key, Value: h.Value}
	}
	return nil
}

// done leaves the staged record behind.
func (in *input) done() { in.next, in.head = in.raw.Offset+1, false }
