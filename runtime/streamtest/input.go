package streamtest

import (
	"context"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/topology"
)

// InputTopic sends records into one topic. Make it with [Input].
type InputTopic[K, V any] struct {
	d     *Driver
	topic topology.Topic[K, V]
}

// Input gives access to an input topic of the topology.
func Input[K, V any](d *Driver, topic topology.Topic[K, V]) *InputTopic[K, V] {
	d.t.Helper()
	if decl := d.topics.declared[topic.Name]; decl == nil || !decl.Source {
		d.t.Fatalf("streamtest: the topology reads no topic %s; pass the Topic that was given to topology.Source", topic.Name)
	}
	return &InputTopic[K, V]{d: d, topic: topic}
}

// Send sends a record that carries the time of the driver's clock, and processes
// it and everything that follows from it. Null keys and values are absent Opts.
func (in *InputTopic[K, V]) Send(key K, value V) {
	in.d.t.Helper()
	in.SendAt(key, value, in.d.now)
}

// SendAt is Send with a time of the record's own. A topic with an EventTime takes
// its time from the value all the same.
func (in *InputTopic[K, V]) SendAt(key K, value V, at time.Time) {
	in.d.t.Helper()
	in.SendRecord(processor.Record[K, V]{Key: key, Value: value, Time: processor.TimestampOf(at)})
}

// SendRecord is Send with time and headers. The origin is not looked at. The
// record is placed by its key, as the topic's partitioner does; one without a key
// goes to partition 0.
func (in *InputTopic[K, V]) SendRecord(r processor.Record[K, V]) {
	in.d.t.Helper()
	raw := RawRecord{Time: r.Time, Headers: r.Headers}
	var err error
	if raw.Key, err = encode(in.topic.Key, r.Key); err != nil {
		in.d.t.Fatalf("streamtest: topic %s: key %v: %v", in.topic.Name, r.Key, err)
	}
	if raw.Value, err = encode(in.topic.Value, r.Value); err != nil {
		in.d.t.Fatalf("streamtest: topic %s: value %v: %v", in.topic.Name, r.Value, err)
	}
	partition := int32(0)
	if raw.Key != nil {
		placed := raw.Key
		if p, ok := in.topic.Key.(serde.Partitioned); ok {
			placed = p.PartitionKey(placed)
		}
		place, n := in.d.topics.placement(in.d.topics.declared[in.topic.Name])
		partition = place(placed, n)
	}
	in.d.SendRaw(in.topic.Name, partition, raw)
}

// encode returns nil for null.
func encode[T any](s serde.Serde[T], v T) ([]byte, error) {
	if null := processor.NullCheck[T](); null != nil && null(v) {
		return nil, nil
	}
	return s.Append([]byte{}, v)
}

// RawRecord is a record in bytes: nil is null.
type RawRecord struct {
	Key, Value []byte
	Time       processor.Timestamp
	Headers    []processor.Header
}

// SendRaw sends bytes, decodable or not, into any topic of the topology, and
// processes what follows from them. An error fails the test.
func (d *Driver) SendRaw(topic string, partition int32, r RawRecord) {
	d.t.Helper()
	d.must(d.TrySendRaw(topic, partition, r))
}

// TrySendRaw is SendRaw for a record at which the worker is expected to stop: it
// returns the error. After one the driver is of no more use.
func (d *Driver) TrySendRaw(topic string, partition int32, r RawRecord) error {
	d.t.Helper()
	d.usable()
	if d.topics.declared[topic] == nil || partition < 0 || partition >= d.topics.count(topic) {
		d.t.Fatalf("streamtest: the topology has no partition %d of topic %s", partition, topic)
	}
	d.failed = d.append(commitlog.TopicPartition{Topic: topic, Partition: partition}, r)
	if d.failed == nil && d.topics.declared[topic].Global {
		d.failed = d.globals.Load(context.Background())
	}
	if d.failed == nil {
		d.failed = d.settle()
	}
	return d.failed
}

// append appends one record as a transaction of its own.
func (d *Driver) append(tp commitlog.TopicPartition, r RawRecord) error {
	var b recordbatch.Builder
	headers := make([]recordbatch.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = recordbatch.Header{Key: h.Key, Value: h.Value}
	}
	b.Append(int64(r.Time), r.Key, r.Value, headers)
	err := d.producer.Begin()
	if err == nil {
		err = d.producer.Append(tp, &b)
	}
	if err == nil {
		_, err = d.producer.Commit(context.Background())
	}
	if err != nil {
		return fmt.Errorf("send to %s: %w", tp, err)
	}
	return nil
}
