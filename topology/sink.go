package topology

import (
	"cmp"
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// To writes the stream to a topic. The records keep their time and headers, and
// are placed by their key; records without a key go to the partition of the task.
func (s *Stream[K, V]) To(t Topic[K, V]) { s.to(t, false) }

func (s *Stream[K, V]) to(t Topic[K, V], internal bool) *node {
	n := s.b.add(kindSink, s.n)
	n.name = cmp.Or(t.Name, n.name)
	decl := declare(t)
	decl.Sink, decl.Internal = true, internal
	n.topic = s.b.topic(n, decl)
	n.wire = func(w *wirer) any {
		out := &typedSink[K, V]{n: n, inst: w.instance, key: t.Key, value: t.Value, partition: w.env.Partition, out: w.env.Output(t.Name)}
		out.nullKey, out.nullValue = processor.NullCheck[K](), processor.NullCheck[V]()
		out.dropNullKeys = internal && !n.keepNullKeys
		out.dropped = w.instance.counter(n, DropNullKey)
		out.partitioned, _ = any(t.Key).(serde.Partitioned)
		out.place, out.partitions = w.env.Placement(n.topic)
		return emit[K, V](out.write)
	}
	return n
}

// Repartition writes the stream to a topic of the application and reads it back,
// so that equal keys share a partition. What is below becomes a sub-topology of
// its own, named after the topic. Records whose key is null are dropped, counted.
func (s *Stream[K, V]) Repartition(through Topic[K, V]) *Stream[K, V] {
	n := s.to(through, true)
	if through.EventTime != nil {
		s.b.fail(n.name, "a repartition topic carries the times of its records; remove EventTime")
	}
	out := source(s.b, through, true)
	out.sampled, out.n.feeder = s.sampled, n
	return out
}

// typedSink encodes records for one topic.
type typedSink[K, V any] struct {
	n            *node
	inst         *Instance
	key          serde.Serde[K]
	value        serde.Serde[V]
	nullKey      func(K) bool
	nullValue    func(V) bool
	dropNullKeys bool
	dropped      *uint64
	partitioned  serde.Partitioned
	place        func(key []byte, n int32) int32
	partitions   int32
	partition    int32
	out          Output
	keyBuf       []byte
	valueBuf     []byte
}

func (s *typedSink[K, V]) write(r processor.Record[K, V]) error {
	s.inst.at = s.n
	var key, value []byte
	var err error
	partition := s.partition % s.partitions
	if s.nullKey == nil || !s.nullKey(r.Key) {
		if key, err = s.key.Append(s.keyBuf[:0], r.Key); err != nil {
			return s.encodeError("key", s.key.Name(), err)
		}
		s.keyBuf = key
		placed := key
		if s.partitioned != nil {
			placed = s.partitioned.PartitionKey(key)
		}
		partition = s.place(placed, s.partitions)
	} else if s.dropNullKeys {
		*s.dropped++
		return nil
	}
	if s.nullValue == nil || !s.nullValue(r.Value) {
		if value, err = s.value.Append(s.valueBuf[:0], r.Value); err != nil {
			return s.encodeError("value", s.value.Name(), err)
		}
		s.valueBuf = value
		if value == nil {
			value = []byte{}
		}
	}
	if partition < 0 || partition >= s.partitions {
		return &NodeError{Node: s.n.name, Err: fmt.Errorf("the partitioner placed a key on partition %d of %d", partition, s.partitions)}
	}
	return s.out.Append(partition, int64(r.Time), key, value, r.Headers)
}

func (s *typedSink[K, V]) encodeError(what, name string, err error) error {
	return &NodeError{Node: s.n.name, Class: ClassEncode, Err: fmt.Errorf("%s does not encode as %s: %w", what, name, err)}
}
