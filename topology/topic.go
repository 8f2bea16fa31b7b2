package topology

import (
	"time"

	"github.com/tidemill/tidemill/processor/serde"
)

// Topic names a topic of the log and everything the engine must know about it.
// Name, Key and Value are required.
type Topic[K, V any] struct {
	Name string
	// Partitions is the number of partitions to create the topic with. 0 takes an
	// existing topic as it is, and the runtime's default for a missing one.
	Partitions int32
	Key        serde.Serde[K]
	Value      serde.Serde[V]
	// EventTime extracts the event time of a record from its value; nil takes the
	// timestamp that the record carries. A negative time drops the record, counted.
	EventTime func(V) time.Time
	// Reset says where to start reading when no position is committed.
	Reset Reset
	// Retention lets records expire that long after their append; 0 keeps them.
	Retention time.Duration
	// Compact keeps the newest record of each key instead.
	Compact bool
	// Partitioner places keys; nil is murmur2, as Kafka's Java client does. It is
	// durable, and the same for all topics of a sub-topology.
	Partitioner *Partitioner
}

// Reset says where a source starts when it has no committed position.
type Reset uint8

const (
	// Earliest starts at the first record that the topic still has.
	Earliest Reset = iota
	// Latest skips what is there.
	Latest
	// None refuses to start.
	None
)

// String names the policy.
func (r Reset) String() string {
	switch r {
	case Latest:
		return "latest"
	case None:
		return "none"
	}
	return "earliest"
}

// TopicDecl is a topic without its types, as the runtime sees it.
type TopicDecl struct {
	Name        string
	Partitions  int32
	KeySerde    any // a serde.Serde of the key type
	ValueSerde  any
	KeyName     string
	ValueName   string
	Reset       Reset
	Retention   time.Duration
	Compact     bool
	Partitioner *Partitioner
	// Source and Sink say how the topology uses it. Internal topics are
	// repartition topics: both, and owned by the application.
	Source, Sink, Internal bool
	// Global says that the topic is read as a global table, by every instance.
	Global bool
}

func declare[K, V any](t Topic[K, V]) *TopicDecl {
	d := &TopicDecl{
		Name: t.Name, Partitions: t.Partitions, KeySerde: t.Key, ValueSerde: t.Value,
		Reset: t.Reset, Retention: t.Retention, Compact: t.Compact, Partitioner: t.Partitioner,
	}
	if t.Key != nil {
		d.KeyName = t.Key.Name()
	}
	if t.Value != nil {
		d.ValueName = t.Value.Name()
	}
	return d
}

func partitionerName(p *Partitioner) string {
	if p == nil {
		return "murmur2"
	}
	return p.Name
}
