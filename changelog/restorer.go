package changelog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/state"
)

// restoreRows is how many changelog records are gathered before they are sorted
// and applied. Sorted rows cost the engine half of what random ones cost, and of
// a row that was updated often only the last version is written.
const restoreRows = 128 << 10

// restoreBytes bounds what is gathered, whatever the size of the rows.
const restoreBytes = 32 << 20

// Restorer replays the changelog of one store into an engine.
type Restorer struct {
	Engine state.Engine
	Spec   state.Spec
	ID     uint16
	Source commitlog.TopicPartition
	// Horizon hides window rows that have expired already: they are not written.
	Horizon int64
	// Progress is told about the records replayed and still to replay.
	Progress func(done, left int64)

	rows  []restored
	bytes int
	arena []byte
}

// restored is one gathered row, by place in the arena: key, then value.
type restored struct {
	at, key, value int // value < 0: tombstone
}

// Run replays from an offset up to end and returns the number of records. end is
// the settled end offset taken after the previous owner was fenced. It is reached
// by the reader's position and by nothing else: a reader moves over emptied batches
// and markers by itself, and an entry without batches may also mean that the server
// has not answered in time, so that it proves nothing.
func (r *Restorer) Run(ctx context.Context, log commitlog.Log, from, end int64) (records int64, err error) {
	if from >= end {
		return 0, nil
	}
	reader, err := log.NewReader(commitlog.ReaderOptions{MaxPartitionBytes: 4 << 20})
	if err != nil {
		return 0, fmt.Errorf("restore %s: %w", r.Source, err)
	}
	defer reader.Close()
	if err := reader.Assign(r.Source, from); err != nil {
		return 0, fmt.Errorf("restore %s: %w", r.Source, err)
	}
	for next := from; next < end; {
		fetched, err := reader.Poll(ctx)
		if err != nil {
			return records, fmt.Errorf("restore %s from offset %d: %w", r.Source, next, err)
		}
		for _, f := range fetched {
			n, err := r.gather(f, next)
			if err != nil {
				return records, err
			}
			records, next = records+n, max(next, f.Next)
		}
		if len(r.rows) >= restoreRows || r.bytes >= restoreBytes || next >= end {
			if err := r.apply(next); err != nil {
				return records, err
			}
		}
		if r.Progress != nil {
			r.Progress(records, max(0, end-next))
		}
	}
	return records, nil
}

func (r *Restorer) gather(f commitlog.Fetched, from int64) (records int64, err error) {
	for _, b := range f.Batches {
		it := b.Records()
		for it.Next() {
			if it.Offset < from {
				continue
			}
			records++
			if err := r.add(it.Offset, it.Time, it.Key, it.Value); err != nil {
				return records, err
			}
		}
		if err := it.Err(); err != nil {
			return records, fmt.Errorf("restore %s: %w", r.Source, err)
		}
	}
	return records, nil
}

func (r *Restorer) add(offset, time int64, logKey, value []byte) error {
	if r.Spec.Kind.HasSpans() {
		return r.addSpan(offset, time, logKey, value)
	}
	if r.Spec.Kind.HasJoinRows() {
		return r.addJoin(offset, time, logKey, value)
	}
	start, key, err := state.SplitChangelogKey(r.Spec.Kind, logKey)
	if err != nil {
		return fmt.Errorf("restore %s offset %d: %w", r.Source, offset, err)
	}
	if r.Spec.Kind == state.KindWindow && start < r.Horizon {
		return nil
	}
	row := restored{at: len(r.arena), value: -1}
	r.arena = state.AppendRowKey(r.arena, r.ID, r.Spec.Kind, start, key)
	row.key = len(r.arena) - row.at
	if value != nil {
		r.arena = state.AppendRowValue(r.arena, time, value)
		row.value = len(r.arena) - row.at - row.key
	}
	r.rows = append(r.rows, row)
	r.bytes = len(r.arena)
	return nil
}

// apply writes the gathered rows, sorted, the last version of each key, together
// with the offset they reach to: a crash resumes from there.
func (r *Restorer) apply(next int64) error {
	keyOf := func(x restored) []byte { return r.arena[x.at : x.at+x.key] }
	slices.SortFunc(r.rows, func(a, b restored) int {
		// Of equal keys the later record comes last: the arena grows with the log.
		return cmp.Or(bytes.Compare(keyOf(a), keyOf(b)), cmp.Compare(a.at, b.at))
	})
	batch := r.Engine.NewBatch()
	for i, row := range r.rows {
		if i+1 < len(r.rows) && bytes.Equal(keyOf(row), keyOf(r.rows[i+1])) {
			continue
		}
		var err error
		if row.value < 0 {
			err = batch.Delete(keyOf(row))
		} else {
			v := row.at + row.key
			err = batch.Set(keyOf(row), r.arena[v:v+row.value])
		}
		if err != nil {
			batch.Close()
			return fmt.Errorf("restore %s: %w", r.Source, err)
		}
	}
	if err := SetApplied(batch, r.Spec.Name, next); err != nil {
		batch.Close()
		return err
	}
	if err := r.Engine.Apply(batch); err != nil {
		return fmt.Errorf("restore %s: %w", r.Source, err)
	}
	r.rows, r.arena, r.bytes = r.rows[:0], r.arena[:0], 0
	return nil
}

// SetApplied adds to a batch the changelog offset that a store reaches with it.
func SetApplied(b state.Batch, store string, next int64) error {
	return b.Set(state.AppendMetaKey(nil, "changelog/"+store), binary.BigEndian.AppendUint64(nil, uint64(next)))
}

// Applied reads the changelog offset that a store has reached.
func Applied(r state.Reader, store string) (next int64, ok bool, err error) {
	v, ok, err := r.Get(nil, state.AppendMetaKey(nil, "changelog/"+store))
	if err != nil || !ok {
		return 0, false, err
	}
	if len(v) != 8 {
		return 0, false, fmt.Errorf("store %s: its changelog offset has %d bytes, 8 expected", store, len(v))
	}
	return int64(binary.BigEndian.Uint64(v)), true, nil
}
