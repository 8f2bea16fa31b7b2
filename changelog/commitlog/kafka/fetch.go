package kafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// decoded is what one fetch reply holds of one partition.
type decoded struct {
	batches []recordbatch.Batch // to be delivered; they lie in the reply's buffer
	next    int64               // the position after them, and after what is not delivered
	short   int                 // size of the batch that the reply cuts off, 0 if it ends with a whole one
	err     error               // what lies at next cannot be decoded
}

// decoder is decode.
type decoder func(tp commitlog.TopicPartition, raw []byte, from int64, aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) decoded

// decode walks the batches of a reply for a read at an offset. The first may
// begin below it, those before it are passed over, and the last may be cut off.
//
// A position always moves to base + lastOffsetDelta + 1, whatever the batch still
// holds: compaction leaves holes and emptied batches, transactions leave markers,
// and a reader that waited for records there would wait for ever.
func decode(tp commitlog.TopicPartition, raw []byte, from int64, aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) decoded {
	d := decoded{next: from}
	filter := newAbortedFilter(aborted)
	for len(raw) > 0 {
		b, rest, err := recordbatch.Parse(raw)
		if errors.Is(err, recordbatch.ErrShort) {
			d.short = shortSize(raw)
			return d
		}
		if err == nil {
			err = check(b)
		}
		if err != nil {
			d.err = fmt.Errorf("%s offset %d, codec %s: %w: %w", tp, d.next, codecAt(raw), commitlog.ErrCorrupt, err)
			return d
		}
		raw = rest
		hidden := filter.hides(&b) // also for those passed over: their markers count
		if b.NextOffset() <= d.next {
			continue
		}
		d.next = b.NextOffset()
		if !hidden {
			d.batches = append(d.batches, b)
		}
	}
	return d
}

// check refuses what the application could not decode. Compressed records are
// decompressed once, by whoever reads them, and found damaged there.
func check(b recordbatch.Batch) error {
	if err := b.Verify(); err != nil {
		return err
	}
	if b.Codec() > recordbatch.CodecZstd {
		return fmt.Errorf("batch at base offset %d is compressed by %s, which is not known", b.BaseOffset, b.Codec())
	}
	return nil
}

// shortSize is the size that a cut-off batch declares, at least a header's.
func shortSize(raw []byte) int {
	size, err := recordbatch.PeekSize(raw)
	if err != nil {
		return recordbatch.HeaderSize
	}
	return size
}

// codecAt names the codec of a batch that does not parse.
func codecAt(raw []byte) string {
	const attributesEnd = 23
	if len(raw) < attributesEnd {
		return "unknown"
	}
	return recordbatch.Codec(raw[attributesEnd-1] & 0b111).String()
}
