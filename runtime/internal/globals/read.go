package globals

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/state"
)

// Load reads until the tables hold everything that the log had settled when it was
// called. No task may start before it has returned.
func (t *Tables) Load(ctx context.Context) error {
	var all []commitlog.TopicPartition
	for _, made := range t.tables {
		for p := range made.next {
			all = append(all, made.partition(p))
		}
	}
	if len(all) == 0 {
		return nil
	}
	settled, err := t.cfg.Log.Settled(ctx, all)
	if err != nil {
		return fmt.Errorf("global tables: %w", err)
	}
	for {
		missing := false
		for tp, bounds := range settled {
			missing = missing || t.byTopic[tp.Topic].next[tp.Partition] < bounds.StableEnd
		}
		if !missing {
			return t.flush(true)
		}
		if err := t.poll(ctx); err != nil {
			return err
		}
	}
}

// Follow goes on reading until ctx ends, which is no error, or something fails.
func (t *Tables) Follow(ctx context.Context) error {
	for {
		err := t.poll(ctx)
		if err == nil {
			err = t.flush(false)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// poll waits for records and applies them, rows and positions in one batch.
func (t *Tables) poll(ctx context.Context) error {
	fetched, err := t.reader.Poll(ctx)
	if err != nil {
		return fmt.Errorf("global tables: %w", err)
	}
	b := t.cfg.Engine.NewBatch()
	changed, err := t.fill(b, fetched)
	if err != nil || len(changed) == 0 {
		return errors.Join(err, b.Close())
	}
	if err := t.cfg.Engine.Apply(b); err != nil {
		return fmt.Errorf("global tables: %w", err)
	}
	t.dirty = true
	// Behind the batch: a task that saw the new version must find the new rows.
	for _, made := range changed {
		made.version.Add(1)
	}
	return nil
}

// fill adds what a poll brought to a batch, and returns the tables that moved.
func (t *Tables) fill(b state.Batch, fetched []commitlog.Fetched) (changed []*table, err error) {
	for _, f := range fetched {
		made, p := t.byTopic[f.Topic], int(f.Partition)
		made.ends[p] = f.StableEnd
		if f.Next > made.next[p] {
			for _, batch := range f.Batches {
				if err := t.addBatch(b, made, p, batch); err != nil {
					return nil, err
				}
			}
			made.next[p] = f.Next
			next := binary.BigEndian.AppendUint64(nil, uint64(f.Next))
			if err := errors.Join(b.Set(made.positionKey(p), next), b.Set(made.shapeKey(), []byte(made.shape()))); err != nil {
				return nil, fmt.Errorf("global store %s: %w", made.spec.Store.Name, err)
			}
			changed = append(changed, made)
		}
		behind := int64(0)
		for i, end := range made.ends {
			behind += max(0, end-made.next[i])
		}
		made.behind.Store(behind)
	}
	return changed, nil
}

func (t *Tables) addBatch(b state.Batch, made *table, p int, batch recordbatch.Batch) error {
	var key, row []byte
	it := batch.Records()
	for it.Next() {
		if it.Offset < made.next[p] {
			continue
		}
		if it.Key == nil {
			made.dropped.Add(1)
			continue
		}
		if err := made.spec.Check(it.Key, it.Value); err != nil {
			failed := &RecordError{TopicPartition: made.partition(p), Offset: it.Offset, Store: made.spec.Store.Name, Err: err}
			if t.cfg.Undecodable == nil {
				return failed
			}
			if err := t.cfg.Undecodable(failed); err != nil {
				return err
			}
			made.dropped.Add(1)
			continue
		}
		key = state.AppendRowKey(key[:0], made.id, made.spec.Store.Kind, 0, it.Key)
		var err error
		if it.Value == nil {
			err = b.Delete(key)
		} else {
			row = state.AppendRowValue(row[:0], it.Time, it.Value)
			err = b.Set(key, row)
		}
		if err != nil {
			return fmt.Errorf("global store %s: %w", made.spec.Store.Name, err)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("global store %s: %s: %w", made.spec.Store.Name, made.partition(p), err)
	}
	return nil
}

// flush makes what was applied durable, from time to time or now.
func (t *Tables) flush(now bool) error {
	at := t.cfg.Now()
	if !t.dirty || !now && at.Sub(t.flushed) < t.cfg.FlushInterval {
		return nil
	}
	if err := t.cfg.Engine.Flush(); err != nil {
		return fmt.Errorf("global tables: %w", err)
	}
	t.flushed, t.dirty = at, false
	return nil
}
