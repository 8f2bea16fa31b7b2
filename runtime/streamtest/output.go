package streamtest

import (
	"context"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/topology"
)

// OutputTopic reads what a topology wrote to one topic. Make it with [Output].
type OutputTopic[K, V any] struct {
	d     *Driver
	topic topology.Topic[K, V]
}

// Output gives access to any topic, internal and dead-letter topics included.
func Output[K, V any](d *Driver, topic topology.Topic[K, V]) OutputTopic[K, V] {
	return OutputTopic[K, V]{d: d, topic: topic}
}

// Records commits, and returns the records that were committed since the last
// call for this topic: partition by partition, each in the order of the log,
// which is the one order that is the same in every mode.
func (o OutputTopic[K, V]) Records() []processor.Record[K, V] {
	o.d.t.Helper()
	tape := o.d.tape(o.topic.Name)
	fresh := o.decode(tape, tape.seen)
	tape.seen = make([]int, len(tape.partitions))
	for p, records := range tape.partitions {
		tape.seen[p] = len(records)
	}
	return fresh
}

// All commits, and returns everything in the topic, ordered as in Records, whose
// next answer it does not change.
func (o OutputTopic[K, V]) All() []processor.Record[K, V] {
	o.d.t.Helper()
	tape := o.d.tape(o.topic.Name)
	return o.decode(tape, make([]int, len(tape.partitions)))
}

func (o OutputTopic[K, V]) decode(t *tape, from []int) []processor.Record[K, V] {
	o.d.t.Helper()
	var out []processor.Record[K, V]
	for p, records := range t.partitions {
		for _, raw := range records[from[p]:] {
			r := processor.Record[K, V]{Time: raw.Time, Headers: raw.Headers,
				Origin: processor.Origin{Topic: o.topic.Name, Partition: int32(p), Offset: raw.offset}}
			var err error
			if r.Key, err = o.topic.Key.Decode(raw.Key); err != nil {
				o.d.t.Fatalf("streamtest: record %s: key does not decode as %s: %v", r.Origin, o.topic.Key.Name(), err)
			}
			if r.Value, err = o.topic.Value.Decode(raw.Value); err != nil {
				o.d.t.Fatalf("streamtest: record %s: value does not decode as %s: %v", r.Origin, o.topic.Value.Name(), err)
			}
			out = append(out, r)
		}
	}
	return out
}

// tape is what has been read of a topic.
type tape struct {
	reader     commitlog.Reader
	partitions [][]taped
	seen       []int // by partition, how many records Records has returned
}

type taped struct {
	RawRecord
	offset int64
}

// tape commits and reads a topic up to its end.
func (d *Driver) tape(topic string) *tape {
	d.t.Helper()
	d.must(d.sync())
	t := d.tapes[topic]
	var err error
	if t == nil {
		t, err = d.newTape(topic)
		d.must(err)
		d.tapes[topic] = t
	}
	d.must(t.read())
	return t
}

func (d *Driver) newTape(topic string) (*tape, error) {
	ctx := context.Background()
	config, err := d.log.Topic(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	t := &tape{partitions: make([][]taped, config.Partitions), seen: make([]int, config.Partitions)}
	if t.reader, err = d.log.NewReader(commitlog.ReaderOptions{}); err != nil {
		return nil, err
	}
	d.t.Cleanup(func() {
		if err := t.reader.Close(); err != nil {
			d.t.Errorf("streamtest: close the reader of %s: %v", topic, err)
		}
	})
	for p := range config.Partitions {
		tp := commitlog.TopicPartition{Topic: topic, Partition: p}
		bounds, err := d.log.Bounds(ctx, tp)
		if err != nil {
			return nil, err
		}
		if err := t.reader.Assign(tp, bounds.Start); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// read appends what is new in the log.
func (t *tape) read() error {
	for behind := true; behind; {
		t.reader.Wake() // what is there is to be had now, and nothing waited for
		fetched, err := t.reader.Poll(context.Background())
		if err != nil {
			return err
		}
		behind = false
		for _, f := range fetched {
			behind = behind || f.Next < f.StableEnd
			for _, b := range f.Batches {
				if err := t.add(f.Partition, b); err != nil {
					return fmt.Errorf("read %s: %w", f.TopicPartition, err)
				}
			}
		}
	}
	return nil
}

func (t *tape) add(partition int32, b recordbatch.Batch) error {
	it := b.Records()
	for it.Next() {
		headers, err := it.Headers()
		if err != nil {
			return err
		}
		r := taped{RawRecord{Key: it.Key, Value: it.Value, Time: processor.Timestamp(it.Time)}, it.Offset}
		for _, h := range headers {
			r.Headers = append(r.Headers, processor.Header{Key: h.Key, Value: h.Value})
		}
		t.partitions[partition] = append(t.partitions[partition], r)
	}
	return it.Err()
}
