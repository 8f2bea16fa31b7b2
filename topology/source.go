package topology

import (
	"cmp"
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// Source reads one topic, or several of the same types as one stream.
func Source[K, V any](b *Builder, topics ...Topic[K, V]) *Stream[K, V] {
	if len(topics) == 0 {
		b.fail(kindSource, "it has no topic; pass at least one")
		topics = make([]Topic[K, V], 1)
	}
	first := source(b, topics[0], false)
	rest := make([]*Stream[K, V], 0, len(topics)-1)
	for _, t := range topics[1:] {
		rest = append(rest, source(b, t, false))
	}
	if len(rest) == 0 {
		return first
	}
	return first.Merge(rest...)
}

func source[K, V any](b *Builder, t Topic[K, V], internal bool) *Stream[K, V] {
	n := b.add(kindSource)
	n.name, n.sub = cmp.Or(t.Name, n.name), b.sub
	decl := declare(t)
	decl.Source, decl.Internal = true, internal
	if earlier := b.topics[t.Name]; earlier != nil && earlier.Source {
		b.fail(n.name, "topic %s is read by two sources; use the stream of the first one twice", t.Name)
	}
	n.topic = b.topic(n, decl)
	n.wire = func(w *wirer) any {
		s := &typedSource[K, V]{n: n, topic: t, partition: w.env.Partition, next: below[K, V](w, n), inst: w.instance}
		if internal {
			s.topic.EventTime = nil // a repartition topic carries the times of its records
		}
		s.negative = w.instance.counter(n, DropNegativeTime)
		if n.dropNullKeys {
			s.nullKeys = w.instance.counter(n, DropNullKey)
		}
		s.keys.decode = t.Key.Decode
		w.instance.sources = append(w.instance.sources, &SourceTask{
			Topic: t.Name, Reset: t.Reset, Internal: internal, inst: w.instance, decode: s.decode, process: s.process, warm: s.warm,
		})
		return nil
	}
	out := &Stream[K, V]{b: b, n: n}
	if serde.IsCanonical(t.Key) {
		out.sourceKey = t.Key.Name()
	}
	return out
}

// Raw is a record as the log delivers it. The slices are immutable.
type Raw struct {
	Offset, Time int64
	Key, Value   []byte // nil is null
	Headers      []processor.Header
	hash         uint32 // of Key, if warm
	warm         bool
}

// SourceTask is one input topic of an instance. Decode stages the next record,
// Process runs it through everything below.
type SourceTask struct {
	Topic    string
	Reset    Reset
	Internal bool
	inst     *Instance
	decode   func(*Raw) (processor.Timestamp, bool, error)
	process  func() error
	warm     func([]Raw)
}

// Warm prepares records for Decode, which also does without. Doing it for some at
// a time lets their memory accesses overlap: with keys by the hundred thousand a
// lookup is nothing but waiting for memory.
func (s *SourceTask) Warm(records []Raw) { s.warm(records) }

// Decode decodes a record and keeps it for Process. ok is false if the record
// was dropped, which has been counted. An error is the record's, and has had no
// effect.
func (s *SourceTask) Decode(raw *Raw) (t processor.Timestamp, ok bool, err error) {
	return s.decode(raw)
}

// typedSource decodes the records of one topic for one task.
type typedSource[K, V any] struct {
	n         *node
	inst      *Instance
	topic     Topic[K, V]
	partition int32
	next      emit[K, V]
	negative  *uint64
	nullKeys  *uint64 // not nil at the source of a table: records without a key are dropped
	keys      interner[K]
	staged    processor.Record[K, V]
	rawKey    []byte
	rawHash   uint32
	warmth    uint64
}

func (s *typedSource[K, V]) decode(raw *Raw) (_ processor.Timestamp, ok bool, err error) {
	defer s.inst.recovered(&err)
	s.inst.at = s.n
	if !raw.warm {
		raw.hash = state.HashKey(raw.Key)
	}
	r := &s.staged
	if raw.Key != nil || s.nullKeys == nil {
		if r.Key, err = s.keys.lookup(raw.Key, raw.hash); err != nil {
			return 0, false, s.decodeError("key", s.topic.Key.Name(), err)
		}
	}
	if r.Value, err = s.topic.Value.Decode(raw.Value); err != nil {
		return 0, false, s.decodeError("value", s.topic.Value.Name(), err)
	}
	r.Time = processor.Timestamp(raw.Time)
	if s.topic.EventTime != nil {
		r.Time = processor.TimestampOf(s.topic.EventTime(r.Value))
	}
	if r.Time < 0 {
		*s.negative++
		return 0, false, nil
	}
	s.rawKey, s.rawHash = raw.Key, raw.hash
	r.Headers = raw.Headers
	r.Origin = processor.Origin{Topic: s.topic.Name, Partition: s.partition, Offset: raw.Offset}
	return r.Time, true, nil
}

func (s *typedSource[K, V]) process() error {
	if s.rawKey == nil && s.nullKeys != nil {
		*s.nullKeys++ // not before: the record counts for stream time
		return nil
	}
	s.inst.rawKey, s.inst.rawHash = s.rawKey, s.rawHash
	return s.next(s.staged)
}

// warm hashes the keys of records and reads what their lookups will read.
func (s *typedSource[K, V]) warm(records []Raw) {
	for i := range records {
		hash := state.HashKey(records[i].Key)
		records[i].hash, records[i].warm = hash, true
		s.warmth += s.keys.touch(hash)
		for _, touch := range s.inst.warmers {
			s.warmth += touch(hash)
		}
	}
}

func (s *typedSource[K, V]) decodeError(what, name string, err error) error {
	return &NodeError{Node: s.n.name, Class: ClassDecode, Err: fmt.Errorf("%s does not decode as %s: %w", what, name, err)}
}
