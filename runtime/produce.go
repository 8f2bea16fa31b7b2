package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/topology"
)

// producers holds the writer that serves appends over HTTP. One at a time keeps
// the writer's rule of one goroutine.
type producers struct {
	sync.Mutex
	writer commitlog.Writer
}

func (p *producers) close() error {
	p.Lock()
	defer p.Unlock()
	if p.writer == nil {
		return nil
	}
	err := p.writer.Close()
	p.writer = nil
	return err
}

// Produce implements query.Backend: it appends records to a topic in one
// transaction. Internal topics have one owner and are refused.
func (a *App) Produce(ctx context.Context, topic string, records []query.Produced) ([]commitlog.RecordID, error) {
	cfg, err := a.log.Topic(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w", topic, err)
	}
	if cfg.Internal {
		return nil, fmt.Errorf("topic %s is internal to an application and cannot be written from outside", topic)
	}
	batches := make([]recordbatch.Builder, cfg.Partitions)
	ids := make([]commitlog.RecordID, len(records))
	for i, r := range records {
		partition, err := a.partitionFor(topic, cfg.Partitions, r)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		if n := len(r.Key) + len(r.Value); n > a.cfg.MaxRecordBytes {
			return nil, fmt.Errorf("record %d: %w: %d bytes, at most %d are allowed", i, commitlog.ErrTooLarge, n, a.cfg.MaxRecordBytes)
		}
		at := r.Time
		if at.IsZero() {
			at = a.cfg.Now()
		}
		ids[i] = commitlog.RecordID{TopicPartition: topicPartition(topic, partition), Offset: int64(batches[partition].Count())}
		batches[partition].Append(at.UnixMilli(), r.Key, r.Value, nil)
	}
	ranges, err := a.append(ctx, topic, batches)
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w", topic, err)
	}
	for i := range ids {
		ids[i].Offset += ranges[ids[i].TopicPartition].Base
	}
	return ids, nil
}

func (a *App) partitionFor(topic string, partitions int32, r query.Produced) (int32, error) {
	if r.Partition != nil {
		if *r.Partition < 0 || *r.Partition >= partitions {
			return 0, fmt.Errorf("partition %d of %s does not exist, it has %d", *r.Partition, topic, partitions)
		}
		return *r.Partition, nil
	}
	if r.Key == nil {
		return 0, nil
	}
	for _, t := range a.topology.Topics() {
		if t.Name == topic {
			return placeKey(a, t, r.Key), nil
		}
	}
	return commitlog.Murmur2(r.Key, partitions), nil
}

func placeKey(a *App, t *topology.TopicDecl, key []byte) int32 {
	if p, ok := t.KeySerde.(serde.Partitioned); ok {
		key = p.PartitionKey(key)
	}
	place, n := a.placement(t)
	return place(key, n)
}

func (a *App) append(ctx context.Context, topic string, batches []recordbatch.Builder) (map[commitlog.TopicPartition]commitlog.Range, error) {
	a.produced.Lock()
	defer a.produced.Unlock()
	if a.produced.writer == nil {
		w, err := a.log.OpenWriter(ctx, a.App()+"-http-"+a.cfg.Instance)
		if err != nil {
			return nil, err
		}
		a.produced.writer = w
	}
	w := a.produced.writer
	ranges, err := appendAll(ctx, w, topic, batches)
	if err != nil {
		// The next append opens a new writer, which also settles what an unknown
		// outcome has left behind.
		a.produced.writer = nil
		return nil, errors.Join(err, w.Abort(), w.Close())
	}
	return ranges, nil
}

func appendAll(ctx context.Context, w commitlog.Writer, topic string, batches []recordbatch.Builder) (map[commitlog.TopicPartition]commitlog.Range, error) {
	if err := w.Begin(); err != nil {
		return nil, err
	}
	for p := range batches {
		if batches[p].Empty() {
			continue
		}
		if err := w.Append(topicPartition(topic, int32(p)), &batches[p]); err != nil {
			return nil, err
		}
	}
	return w.Commit(ctx)
}
