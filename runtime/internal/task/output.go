package task

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor"
)

// output collects the records of one topic by partition. It implements
// topology.Output.
type output struct {
	topic    string
	maxBytes int
	parts    []*recordbatch.Builder
	records  *int64
	bytes    *int
}

func (o *output) Append(partition int32, time int64, key, value []byte, headers []processor.Header) error {
	if size := len(key) + len(value); size > o.maxBytes {
		return fmt.Errorf("topic %s: a record of %d bytes is larger than the limit of %d bytes; make it smaller or raise MaxRecordBytes",
			o.topic, size, o.maxBytes)
	}
	for int(partition) >= len(o.parts) {
		o.parts = append(o.parts, nil)
	}
	b := o.parts[partition]
	if b == nil {
		b = &recordbatch.Builder{}
		o.parts[partition] = b
	}
	before := b.Size()
	b.Append(time, key, value, changelog.LogHeaders(headers))
	*o.records++
	*o.bytes += b.Size() - before
	return nil
}

// Appended is what a commit appends to one partition.
type Appended struct {
	commitlog.TopicPartition
	Builder *recordbatch.Builder
}

func (o *output) appended(to []Appended) []Appended {
	for p, b := range o.parts {
		if b != nil && !b.Empty() {
			to = append(to, Appended{commitlog.TopicPartition{Topic: o.topic, Partition: int32(p)}, b})
		}
	}
	return to
}

func (o *output) reset() {
	for _, b := range o.parts {
		if b != nil {
			b.Reset()
		}
	}
}

// sortAppended makes the order of a transaction's batches the same in every run.
func sortAppended(a []Appended) {
	slices.SortFunc(a, func(x, y Appended) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
}
