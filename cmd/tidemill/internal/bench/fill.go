package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// openLog opens the log of the job, which must be closed.
func (j Job) openLog() (*embedded.Log, error) {
	return embedded.Open(embedded.Options{Dir: filepath.Join(j.Dir, "log"), Logger: logger()})
}

// logger keeps the routine messages of the engine out of the output.
func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// fill writes the whole input.
func fill(ctx context.Context, j Job) (out Outcome, err error) {
	log, err := j.openLog()
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := log.CreateTopic(ctx, commitlog.TopicConfig{Name: inputTopic, Partitions: int32(j.Partitions)}); err != nil {
		return out, err
	}
	w, err := log.OpenWriter(ctx, "bench-fill")
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	f := newFiller(ctx, w, j.Partitions)
	if err := j.eachInput(f.add); err != nil {
		return out, err
	}
	out.Records = f.records
	return out, f.finish()
}

// eachInput calls add with every record of the input in topic order, flush
// records included. key and value are reused.
func (j Job) eachInput(add func(partition int32, at int64, key, value []byte) error) error {
	places := j.places()
	var key, value []byte
	for _, r := range j.readings() {
		key, value = appendKey(key[:0], r.key), appendFloat(value[:0], r.kwh)
		if err := add(places[r.key], r.at, key, value); err != nil {
			return err
		}
	}
	if j.Workload != Hourly {
		return nil
	}
	for p := range j.Partitions {
		if err := add(int32(p), j.flushTime(), []byte(flushKey(p)), appendFloat(nil, 0)); err != nil {
			return err
		}
	}
	return nil
}

const (
	fillBatchRecords     = 1000
	fillTransactionBytes = 4 << 20
)

// filler gathers records into batches, and batches into transactions.
type filler struct {
	ctx     context.Context
	w       commitlog.Writer
	open    []*recordbatch.Builder // by partition
	given   []*recordbatch.Builder // in the transaction, which still refers to them
	free    []*recordbatch.Builder
	bytes   int
	records int64
}

func newFiller(ctx context.Context, w commitlog.Writer, partitions int) *filler {
	f := &filler{ctx: ctx, w: w, open: make([]*recordbatch.Builder, partitions)}
	for p := range f.open {
		f.open[p] = &recordbatch.Builder{}
	}
	return f
}

func (f *filler) add(p int32, at int64, key, value []byte) error {
	b := f.open[p]
	b.Append(at, key, value, nil)
	f.records++
	if b.Count() < fillBatchRecords {
		return nil
	}
	if err := f.give(p); err != nil || f.bytes < fillTransactionBytes {
		return err
	}
	return f.commit()
}

// give moves the open batch of a partition into the transaction.
func (f *filler) give(p int32) error {
	b := f.open[p]
	if b.Empty() {
		return nil
	}
	if len(f.given) == 0 {
		if err := f.w.Begin(); err != nil {
			return err
		}
	}
	f.given, f.bytes = append(f.given, b), f.bytes+b.Size()
	if err := f.w.Append(commitlog.TopicPartition{Topic: inputTopic, Partition: p}, b); err != nil {
		return fmt.Errorf("fill %s-%d: %w", inputTopic, p, err)
	}
	f.open[p] = &recordbatch.Builder{}
	if n := len(f.free); n > 0 {
		f.open[p], f.free = f.free[n-1], f.free[:n-1]
	}
	return nil
}

func (f *filler) commit() error {
	if len(f.given) == 0 {
		return nil
	}
	if _, err := f.w.Commit(f.ctx); err != nil {
		return fmt.Errorf("fill %s: %w", inputTopic, err)
	}
	for _, b := range f.given {
		b.Reset()
	}
	f.free, f.given, f.bytes = append(f.free, f.given...), f.given[:0], 0
	return nil
}

func (f *filler) finish() error {
	for p := range f.open {
		if err := f.give(int32(p)); err != nil {
			return err
		}
	}
	return f.commit()
}
