package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// runOnCluster reads the topic from the brokers, read-committed.
func (r *topicRead) runOnCluster(ctx context.Context, w *rowWriter) error {
	err := r.cluster.use(ctx, func(log *kafka.Log) error {
		cfg, err := log.Topic(ctx, r.name)
		if err != nil {
			return err
		}
		if r.partition >= cfg.Partitions {
			return usagef("--partition is %d: %s has %d", r.partition, r.name, cfg.Partitions)
		}
		for p := range cfg.Partitions {
			if r.partition >= 0 && p != r.partition {
				continue
			}
			if err := r.readCommitted(ctx, log, p, w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.finish()
}

// begin is where the reading of a partition begins.
func (r *topicRead) begin(tp commitlog.TopicPartition, b commitlog.Bounds) (int64, error) {
	if r.offset == "" {
		return b.Start, nil
	}
	at, err := strconv.ParseInt(r.offset, 10, 64)
	if err != nil {
		return 0, usagef("--offset is %q: want a whole number", r.offset)
	}
	if at < 0 {
		return max(b.Start, b.StableEnd+at), nil
	}
	if at > b.StableEnd {
		return 0, usagef("--offset is %d: %s ends at offset %d", at, tp, b.StableEnd)
	}
	return max(at, b.Start), nil
}

// readCommitted prints a partition up to its end at the time of the call.
func (r *topicRead) readCommitted(ctx context.Context, log *kafka.Log, partition int32, w *rowWriter) error {
	tp := commitlog.TopicPartition{Topic: r.name, Partition: partition}
	bounds, err := log.Bounds(ctx, tp)
	if err != nil {
		return err
	}
	next, err := r.begin(tp, bounds)
	if err != nil {
		return err
	}
	reader, err := log.NewReader(commitlog.ReaderOptions{})
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := reader.Assign(tp, next); err != nil {
		return err
	}
	for left, from := r.limit, next; left > 0 && next < bounds.StableEnd; {
		fetched, err := reader.Poll(ctx)
		if err != nil {
			return fmt.Errorf("read %s: %w", tp, err)
		}
		for _, f := range fetched {
			for _, b := range f.Batches {
				if left, err = r.print(b, partition, from, left, w); err != nil {
					return fmt.Errorf("%s: %w", tp, err)
				}
			}
			next = f.Next
		}
	}
	return nil
}

// print prints the records of a batch from an offset on, and returns how many are
// left to print.
func (r *topicRead) print(b recordbatch.Batch, partition int32, from int64, left int, w *rowWriter) (int, error) {
	it := b.Records()
	for left > 0 && it.Next() {
		if it.Offset < from {
			continue
		}
		row, err := recordJSON(partition, &it)
		if err == nil {
			err = w.add(row, partition)
		}
		if err != nil {
			return left, err
		}
		left--
	}
	return left, it.Err()
}

// recordJSON is a record as an application would show one whose serdes it does not
// know.
func recordJSON(partition int32, it *recordbatch.Iterator) (json.RawMessage, error) {
	row := struct {
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
		Time      string `json:"time"`
		Key       any    `json:"key,omitempty"`
		Key64     string `json:"key_base64,omitempty"`
		Value     any    `json:"value,omitempty"`
		Value64   string `json:"value_base64,omitempty"`
	}{Partition: partition, Offset: it.Offset, Time: time.UnixMilli(it.Time).UTC().Format("2006-01-02T15:04:05.000Z")}
	row.Key, row.Key64 = shown(it.Key)
	row.Value, row.Value64 = shown(it.Value)
	return json.Marshal(row)
}

// shown is a field as text if it is that, and as base64 otherwise. Null is neither.
func shown(field []byte) (text any, encoded string) {
	switch {
	case field == nil:
		return json.RawMessage("null"), ""
	case utf8.Valid(field):
		return string(field), ""
	}
	return nil, base64.StdEncoding.EncodeToString(field)
}
