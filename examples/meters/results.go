package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime"
)

// writeResults writes the hourly averages that have been committed to a file, in
// the order of the partitions. The file appears when it is complete: a crash
// leaves none, or the one from before.
func writeResults(ctx context.Context, app *runtime.App, name string) (rows int64, err error) {
	unfinished := name + ".tmp"
	f, err := os.Create(unfinished)
	if err != nil {
		return 0, err
	}
	buf := bufio.NewWriter(f)
	rows, err = exportHourly(ctx, app, buf)
	if err = errors.Join(err, buf.Flush(), f.Sync(), f.Close()); err != nil {
		return 0, errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(unfinished))
	}
	return rows, os.Rename(unfinished, name)
}

// exportHourly goes through the result topic one partition after the other. (A
// runtime.Subscription would read all partitions at once, and wait for more at
// the end.)
func exportHourly(ctx context.Context, app *runtime.App, w io.Writer) (rows int64, err error) {
	topic, err := app.Log().Topic(ctx, hourly.Name)
	if err != nil {
		return 0, err
	}
	reader, err := app.Log().NewReader(commitlog.ReaderOptions{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	out := csv.NewWriter(w)
	if err := out.Write([]string{"meter_id", "window_start", "mean_kwh"}); err != nil {
		return 0, err
	}
	for p := range topic.Partitions {
		tp := commitlog.TopicPartition{Topic: hourly.Name, Partition: p}
		n, err := exportPartition(ctx, app, reader, tp, out)
		rows += n
		if err != nil {
			return rows, fmt.Errorf("read %s: %w", tp, err)
		}
	}
	out.Flush()
	return rows, out.Error()
}

// exportPartition writes what a partition holds now.
func exportPartition(ctx context.Context, app *runtime.App, reader commitlog.Reader, tp commitlog.TopicPartition, out *csv.Writer) (rows int64, err error) {
	bounds, err := app.Log().Bounds(ctx, tp)
	if err != nil {
		return 0, err
	}
	if err := reader.Assign(tp, bounds.Start); err != nil {
		return 0, err
	}
	defer reader.Unassign(tp)
	for next := bounds.Start; next < bounds.StableEnd; {
		fetched, err := reader.Poll(ctx)
		if err != nil {
			return rows, err
		}
		for _, f := range fetched {
			next = f.Next
			for _, batch := range f.Batches {
				it := batch.Records()
				for it.Next() {
					if it.Offset < bounds.Start || it.Offset >= bounds.StableEnd {
						continue
					}
					if err := exportRecord(out, it.Key, it.Value); err != nil {
						return rows, fmt.Errorf("record at offset %d: %w", it.Offset, err)
					}
					rows++
				}
				if err := it.Err(); err != nil {
					return rows, err
				}
			}
		}
	}
	return rows, nil
}

func exportRecord(out *csv.Writer, key, value []byte) error {
	k, err := hourly.Key.Decode(key)
	if err != nil {
		return err
	}
	v, err := hourly.Value.Decode(value)
	if err != nil {
		return err
	}
	return out.Write([]string{k.Key, k.Start.Time().Format(time.RFC3339), strconv.FormatFloat(v, 'g', -1, 64)})
}
