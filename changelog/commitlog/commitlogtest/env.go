package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// env is what a case works with.
type env struct {
	harness Harness
	log     commitlog.Log
	ctx     context.Context
}

func (e *env) reopen(crash bool) error {
	l, err := e.harness.Reopen(e.log, crash)
	if err != nil {
		return fmt.Errorf("reopen (crash %v): %w", crash, err)
	}
	e.log = l
	return nil
}

func tp(topic string, partition int32) commitlog.TopicPartition {
	return commitlog.TopicPartition{Topic: topic, Partition: partition}
}

// topic creates a topic and opens a writer.
func (e *env) topic(name string, partitions int32, id string) (commitlog.Writer, error) {
	if err := e.log.CreateTopic(e.ctx, commitlog.TopicConfig{Name: name, Partitions: partitions}); err != nil {
		return nil, fmt.Errorf("create topic: %w", err)
	}
	return e.writer(id)
}

func (e *env) writer(id string) (commitlog.Writer, error) {
	w, err := e.log.OpenWriter(e.ctx, id)
	return w, wrap("open writer "+id, err)
}

func builder(values ...string) *recordbatch.Builder {
	b := &recordbatch.Builder{}
	for i, v := range values {
		b.Append(int64(1000+i), []byte("key of "+v), []byte(v), nil)
	}
	return b
}

// put appends values in a transaction of their own and returns their range.
func (e *env) put(w commitlog.Writer, at commitlog.TopicPartition, values ...string) (commitlog.Range, error) {
	if err := w.Begin(); err != nil {
		return commitlog.Range{}, fmt.Errorf("begin: %w", err)
	}
	if err := w.Append(at, builder(values...)); err != nil {
		return commitlog.Range{}, fmt.Errorf("append: %w", err)
	}
	ranges, err := w.Commit(e.ctx)
	return ranges[at], wrap("commit", err)
}

// read is a record as a reader sees it.
type read struct {
	offset int64
	value  string
}

// values reads a partition from its start to the end of what is settled now.
func (e *env) values(at commitlog.TopicPartition) ([]string, error) {
	records, err := e.records(at)
	values := make([]string, len(records))
	for i, r := range records {
		values[i] = r.value
	}
	return values, err
}

func (e *env) records(at commitlog.TopicPartition) ([]read, error) {
	// Not Bounds: where markers follow a commit, it may lie below the last one.
	settled, err := e.log.Settled(e.ctx, []commitlog.TopicPartition{at})
	if err != nil {
		return nil, fmt.Errorf("settled bounds of %s: %w", at, err)
	}
	return e.recordsFrom(at, settled[at].Start, settled[at].StableEnd)
}

// recordsFrom reads from an offset until the position has reached end. That it
// does is the "restored" rule: a log may end in offsets that are no records.
func (e *env) recordsFrom(at commitlog.TopicPartition, from, end int64) ([]read, error) {
	r, err := e.log.NewReader(commitlog.ReaderOptions{MaxWait: 10 * time.Millisecond})
	if err != nil {
		return nil, fmt.Errorf("new reader: %w", err)
	}
	defer r.Close()
	if err := r.Assign(at, from); err != nil {
		return nil, fmt.Errorf("assign: %w", err)
	}
	var records []read
	for position := from; position < end; {
		fetched, err := r.Poll(e.ctx)
		if err != nil {
			return records, fmt.Errorf("poll at %d of %d: %w", position, end, err)
		}
		if len(fetched) == 0 {
			continue // nothing is known of the partition yet
		}
		if records, err = collect(records, fetched[0], position); err != nil {
			return records, err
		}
		position = fetched[0].Next
	}
	return records, nil
}

// collect appends the records at or behind from, and checks what every batch
// must keep to.
func collect(records []read, f commitlog.Fetched, from int64) ([]read, error) {
	next := from
	for _, b := range f.Batches {
		if err := b.Verify(); err != nil {
			return records, fmt.Errorf("%s: %w", f.TopicPartition, err)
		}
		if b.NextOffset() <= next {
			return records, fmt.Errorf("%s: batch [%d, %d) lies before position %d", f.TopicPartition, b.BaseOffset, b.NextOffset(), next)
		}
		next = b.NextOffset()
		it := b.Records()
		for it.Next() {
			if n := len(records); n > 0 && it.Offset <= records[n-1].offset && it.Offset >= from {
				return records, fmt.Errorf("%s: offset %d after %d", f.TopicPartition, it.Offset, records[n-1].offset)
			}
			if it.Offset >= from {
				records = append(records, read{it.Offset, string(it.Value)})
			}
		}
		if err := it.Err(); err != nil {
			return records, fmt.Errorf("%s: %w", f.TopicPartition, err)
		}
	}
	if f.Next < next {
		return records, fmt.Errorf("%s: Next is %d, the batches end at %d", f.TopicPartition, f.Next, next)
	}
	if f.Next > f.StableEnd {
		return records, fmt.Errorf("%s: Next %d is behind the stable end %d", f.TopicPartition, f.Next, f.StableEnd)
	}
	return records, nil
}

func (e *env) expect(at commitlog.TopicPartition, want ...string) error {
	got, err := e.values(at)
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s holds %q, want %q", at, got, want)
	}
	return nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// mustFail demands that err is target.
func mustFail(what string, err, target error) error {
	if !errors.Is(err, target) {
		return fmt.Errorf("%s: got error %v, want %q", what, err, target)
	}
	return nil
}

// first returns the first error of steps, which stop there.
func first(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
