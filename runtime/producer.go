package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// maxProducerBytes bounds what a producer collects before a commit.
const maxProducerBytes = 128 << 20

// Producer writes records to a topic of the application in transactions. Each
// commit carries a position in the source that the records come from, in the
// same transaction: an importer that begins at [Producer.Position] takes in
// nothing twice and leaves nothing out, whenever it was interrupted.
//
// A Producer belongs to one goroutine. Of two with the same name, the later one
// fences the earlier.
type Producer[K, V any] struct {
	app         *App
	topic       topology.Topic[K, V]
	name        string
	writer      commitlog.Writer
	partitions  int32
	place       func([]byte, int32) int32
	partitioned serde.Partitioned
	nullKey     func(K) bool
	nullValue   func(V) bool
	builders    []*recordbatch.Builder
	size        int
	position    SourcePosition
	key, value  []byte
}

// SourcePosition is a place in a producer's source: an offset of the source's own
// (rows, bytes, a sequence number) and up to 4096 bytes of text, such as a hash
// of what has been read.
type SourcePosition struct {
	Offset   int64
	Metadata string
}

// NewProducer opens a producer for a topic that the application declares, or any
// other that exists. The name is durable: the position is kept under it.
func NewProducer[K, V any](ctx context.Context, a *App, t topology.Topic[K, V], name string) (*Producer[K, V], error) {
	if err := state.CheckName(name); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	p := &Producer[K, V]{app: a, topic: t, name: name, place: commitlog.Murmur2,
		nullKey: processor.NullCheck[K](), nullValue: processor.NullCheck[V]()}
	p.partitioned, _ = any(t.Key).(serde.Partitioned)
	if t.Partitioner != nil {
		p.place = t.Partitioner.Place
	}
	cfg, err := a.log.Topic(ctx, t.Name)
	if err != nil {
		return nil, fmt.Errorf("producer %s: topic %s: %w", name, t.Name, err)
	}
	p.partitions = cfg.Partitions
	p.builders = make([]*recordbatch.Builder, cfg.Partitions)
	for i := range p.builders {
		p.builders[i] = &recordbatch.Builder{}
	}
	// The writer comes first: it ends whatever an earlier holder had open, and
	// only then the position is final.
	if p.writer, err = a.log.OpenWriter(ctx, changelog.ProducerGroup(a.App(), name)); err != nil {
		return nil, fmt.Errorf("producer %s: %w", name, err)
	}
	offsets, err := a.log.GroupOffsets(ctx, changelog.ProducerGroup(a.App(), name))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("producer %s: %w", name, err), p.writer.Close())
	}
	if at, ok := offsets[topicPartition(t.Name, 0)]; ok {
		p.position = SourcePosition{Offset: at.Offset, Metadata: at.Metadata}
	}
	return p, nil
}

// Position is the committed position in the source; the zero value at first.
func (p *Producer[K, V]) Position() SourcePosition { return p.position }

// Send adds a record to the open transaction. Its time is the topic's EventTime
// of the value if there is one, else the wall clock.
func (p *Producer[K, V]) Send(k K, v V) error {
	at := p.app.cfg.Now()
	if p.topic.EventTime != nil {
		at = p.topic.EventTime(v)
	}
	return p.SendAt(k, v, at)
}

// SendAt is Send with a time.
func (p *Producer[K, V]) SendAt(k K, v V, at time.Time) error {
	return p.SendRecord(processor.Record[K, V]{Key: k, Value: v, Time: processor.TimestampOf(at)})
}

// SendRecord is Send with time and headers.
func (p *Producer[K, V]) SendRecord(r processor.Record[K, V]) error {
	if p.size >= maxProducerBytes {
		return fmt.Errorf("producer %s: %d bytes are uncommitted; call Commit more often", p.name, p.size)
	}
	var key, value []byte
	var err error
	var partition int32
	if p.nullKey == nil || !p.nullKey(r.Key) {
		if key, err = p.topic.Key.Append(p.key[:0], r.Key); err != nil {
			return fmt.Errorf("producer %s: key: %w", p.name, err)
		}
		p.key = key
		placed := key
		if p.partitioned != nil {
			placed = p.partitioned.PartitionKey(key)
		}
		partition = p.place(placed, p.partitions)
	}
	if p.nullValue == nil || !p.nullValue(r.Value) {
		if value, err = p.topic.Value.Append(p.value[:0], r.Value); err != nil {
			return fmt.Errorf("producer %s: value: %w", p.name, err)
		}
		p.value = value
	}
	if n := len(key) + len(value); n > p.app.cfg.MaxRecordBytes {
		return fmt.Errorf("producer %s: %w: %d bytes, at most %d are allowed (Config.MaxRecordBytes)",
			p.name, commitlog.ErrTooLarge, n, p.app.cfg.MaxRecordBytes)
	}
	b := p.builders[partition]
	p.size -= b.Size()
	b.Append(int64(r.Time), key, value, changelog.LogHeaders(r.Headers))
	p.size += b.Size()
	return nil
}

// Uncommitted is the size of the records sent since the last commit, in bytes.
func (p *Producer[K, V]) Uncommitted() int { return p.size }

// Commit makes the records sent since the last commit visible, together with the
// position up to which they cover the source. After an error the producer is
// finished: what was committed is found out by opening a new one.
func (p *Producer[K, V]) Commit(ctx context.Context, position SourcePosition) error {
	err := p.commit(ctx, position)
	if err != nil {
		return errors.Join(fmt.Errorf("producer %s: commit to %s: %w", p.name, p.topic.Name, err), p.writer.Abort())
	}
	for _, b := range p.builders {
		b.Reset()
	}
	p.size, p.position = 0, position
	return nil
}

func (p *Producer[K, V]) commit(ctx context.Context, position SourcePosition) error {
	if err := p.writer.Begin(); err != nil {
		return err
	}
	for i, b := range p.builders {
		if b.Empty() {
			continue
		}
		if err := p.writer.Append(topicPartition(p.topic.Name, int32(i)), b); err != nil {
			return err
		}
	}
	at := map[commitlog.TopicPartition]commitlog.GroupOffset{
		topicPartition(p.topic.Name, 0): {Offset: position.Offset, Metadata: position.Metadata},
	}
	if err := p.writer.Offsets(changelog.ProducerGroup(p.app.App(), p.name), commitlog.Membership{}, at); err != nil {
		return err
	}
	_, err := p.writer.Commit(ctx)
	return err
}

// Close drops what is uncommitted.
func (p *Producer[K, V]) Close() error { return p.writer.Close() }
