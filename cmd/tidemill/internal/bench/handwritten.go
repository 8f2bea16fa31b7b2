package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// loop is what somebody writes who needs the result once and can lose it: Go
// maps instead of stores, and no log. It has one goroutine.
type loop interface {
	// take processes one record. key and value lie in the batch.
	take(partition int32, at int64, key, value []byte) error
	// emit writes the outputs that wait for a commit.
	emit()
}

// outputs encodes what a loop emits, by partition.
type outputs struct {
	builders []recordbatch.Builder
	key      []byte
	value    [8]byte
	records  int64
	// sink takes the encoded batches of a commit.
	sink func(partition int32, raw []byte) error
}

func (o *outputs) append(partition int32, at int64, key string, value uint64) {
	o.key = append(o.key[:0], key...)
	o.write(partition, at, value)
}

func (o *outputs) appendWindowed(partition int32, at int64, key string, start int64, value uint64) {
	o.key = binary.BigEndian.AppendUint64(append(o.key[:0], key...), uint64(start))
	o.write(partition, at, value)
}

func (o *outputs) write(partition int32, at int64, value uint64) {
	binary.BigEndian.PutUint64(o.value[:], value)
	o.builders[partition].Append(at, o.key, o.value[:], nil)
	o.records++
}

// flush seals the batches, hands them to the sink and forgets them.
func (o *outputs) flush() error {
	for p := range o.builders {
		b := &o.builders[p]
		if b.Empty() {
			continue
		}
		if err := o.sink(int32(p), b.Seal(recordbatch.NoProducer, false)); err != nil {
			return err
		}
		b.Reset()
	}
	return nil
}

// handwritten measures the loop over batches that are in memory already. A second
// pass, not measured, checks its outputs.
func handwritten(ctx context.Context, j Job) (out Outcome, err error) {
	topic := inputTopic
	if j.Workload == Restore {
		topic = changelog.StoreTopic("bench", counts.Spec().Name)
	}
	batches, err := j.load(ctx, topic)
	if err != nil {
		return out, err
	}
	if j.Workload == Restore {
		return restoreByHand(j, batches)
	}
	m, err := startMeter(j)
	if err != nil {
		return out, err
	}
	if out.Records, out.OutputRecords, err = j.runLoop(batches, func(int32, []byte) error { return nil }); err != nil {
		return out, err
	}
	if err := m.stop(j, &out); err != nil {
		return out, err
	}
	out.Problems, err = j.checkLoop(batches)
	return out, err
}

// load reads a whole topic into memory.
func (j Job) load(ctx context.Context, topic string) (batches []partitionBatch, err error) {
	log, err := j.openLog()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	err = eachBatch(ctx, log, topic, func(b partitionBatch) error {
		batches = append(batches, b)
		return nil
	})
	return batches, err
}

func (j Job) runLoop(batches []partitionBatch, sink func(int32, []byte) error) (records, emitted int64, err error) {
	o := &outputs{builders: make([]recordbatch.Builder, j.Partitions), sink: sink}
	l := j.newLoop(o)
	pending := int64(0)
	for _, b := range batches {
		if err := b.Verify(); err != nil {
			return records, o.records, err
		}
		it := b.Records()
		for it.Next() {
			if err := l.take(b.partition, it.Time, it.Key, it.Value); err != nil {
				return records, o.records, fmt.Errorf("%s-%d offset %d: %w", inputTopic, b.partition, it.Offset, err)
			}
			records++
			if pending++; pending >= j.CommitRecords {
				pending = 0
				l.emit()
				if err := o.flush(); err != nil {
					return records, o.records, err
				}
			}
		}
		if err := it.Err(); err != nil {
			return records, o.records, err
		}
	}
	l.emit()
	return records, o.records, o.flush()
}

func (j Job) newLoop(o *outputs) loop {
	if j.Workload == Hourly {
		return newHourlyLoop(j, o)
	}
	return newCountLoop(j, o)
}

func (j Job) checkLoop(batches []partitionBatch) ([]string, error) {
	c := newChecker(j)
	_, _, err := j.runLoop(batches, func(partition int32, raw []byte) error {
		for len(raw) > 0 {
			b, rest, err := recordbatch.Parse(raw)
			if err != nil {
				return err
			}
			err = eachRecord(b, func(it *recordbatch.Iterator) error {
				// The loop keeps results in the partition of their input; a flush
				// record is put into every partition, whatever its key says.
				c.add(placeOf(j, it.Key, partition), it.Key, it.Value)
				return nil
			})
			if err != nil {
				return err
			}
			raw = rest
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, problems := c.finish()
	return problems, nil
}

// placeOf returns where the checker wants a result: for flush keys where their
// key belongs, for others where the loop has put it.
func placeOf(j Job, key []byte, partition int32) int32 {
	if j.Workload == Hourly && len(key) > 8 && string(key[:len(flushPrefix)]) == flushPrefix {
		return commitlog.Murmur2(key[:len(key)-8], int32(j.Partitions))
	}
	return partition
}
