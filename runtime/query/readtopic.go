package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// readTopic serves the committed records of one partition.
func (h *handler) readTopic(w http.ResponseWriter, r *http.Request, q params) error {
	t, err := h.findTopic(r)
	if err != nil {
		return err
	}
	limit, err := q.number("limit", int64(min(h.opts.Limits.DefaultRows, h.opts.Limits.Rows)), 1, int64(h.opts.Limits.Rows))
	if err != nil {
		return err
	}
	partition, err := q.number("partition", 0, 0, int64(t.Partitions)-1)
	if err != nil {
		return err
	}
	tp := commitlog.TopicPartition{Topic: t.Name, Partition: int32(partition)}
	bounds, err := h.backend.Log().Bounds(r.Context(), tp)
	if err != nil {
		return fmt.Errorf("bounds of %s: %w", tp, err)
	}
	offset, err := offsetParam(q, tp, bounds)
	if err != nil {
		return err
	}
	a := newAnswer()
	a.field("topic", t.Name)
	a.field("partition", partition)
	a.field("start_offset", bounds.Start)
	a.field("end_offset", bounds.StableEnd)
	a.beginList("records")
	read := topicReader{t: t, tp: tp, a: a, limit: int(limit), next: offset, end: bounds.StableEnd, meter: newMeter(h.opts.Limits, h.opts.Now)}
	if err := read.run(r.Context(), h.backend.Log(), h.opts.Limits); err != nil {
		return fmt.Errorf("read %s from offset %d: %w", tp, offset, err)
	}
	a.endList()
	a.field("next_offset", read.next)
	a.send(w)
	return nil
}

// offsetParam reads where to start. A negative number counts from the end.
func offsetParam(q params, tp commitlog.TopicPartition, b commitlog.Bounds) (int64, error) {
	offset, err := q.number("offset", b.Start, -1<<62, 1<<62)
	if err != nil {
		return 0, err
	}
	if offset < 0 {
		return max(b.StableEnd+offset, b.Start), nil
	}
	if offset < b.Start {
		p := problem(CodePositionTrimmed, fmt.Sprintf("%s begins at offset %d: older records are gone", tp, b.Start))
		p.Topic, p.Partition, p.Earliest = tp.Topic, &tp.Partition, &b.Start
		return 0, p
	}
	if offset > b.StableEnd {
		return 0, badParameter("offset", fmt.Sprintf("%s ends at offset %d", tp, b.StableEnd))
	}
	return offset, nil
}

// topicReader copies committed records into an answer, up to the end that the
// partition had when the request came: it never waits for records to come.
type topicReader struct {
	t         topic
	tp        commitlog.TopicPartition
	a         *answer
	limit     int
	next, end int64
	meter     *meter
	spent     bool
}

const (
	readWait  = 200 * time.Millisecond
	readBytes = 1 << 20
)

func (tr *topicReader) run(ctx context.Context, log commitlog.Log, limits Limits) (err error) {
	if tr.next >= tr.end {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limits.AppendTime)
	defer cancel()
	reader, err := log.NewReader(commitlog.ReaderOptions{MaxWait: readWait, MaxBytes: readBytes, MaxPartitionBytes: readBytes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	if err := reader.Assign(tr.tp, tr.next); err != nil {
		return err
	}
	for !tr.spent && tr.next < tr.end {
		fetched, err := reader.Poll(ctx)
		if err != nil {
			return err
		}
		for _, f := range fetched {
			if err := tr.take(ctx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (tr *topicReader) take(ctx context.Context, f commitlog.Fetched) error {
	for _, b := range f.Batches {
		if err := tr.batch(ctx, b); err != nil || tr.spent {
			return err
		}
	}
	tr.next = max(tr.next, f.Next)
	return nil
}

func (tr *topicReader) batch(ctx context.Context, b recordbatch.Batch) error {
	if b.Control() {
		return nil
	}
	it := b.Records()
	for it.Next() {
		if it.Offset < tr.next {
			continue
		}
		if tr.limit == 0 || tr.spent {
			tr.spent = true
			return nil
		}
		if err := tr.record(&it); err != nil {
			return err
		}
		tr.next = it.Offset + 1
		tr.limit--
		spent, err := tr.meter.examine(ctx, len(tr.a.buf))
		if err != nil {
			return err
		}
		tr.spent = spent
	}
	if err := it.Err(); err != nil {
		return err
	}
	tr.spent = tr.spent || tr.limit == 0
	return nil
}

func (tr *topicReader) record(it *recordbatch.Iterator) error {
	a := tr.a
	a.beginObject()
	a.field("offset", it.Offset)
	a.time("time", it.Time)
	a.encoded(tr.t.key, "key", it.Key)
	a.encoded(tr.t.value, "value", it.Value)
	if it.HeaderCount > 0 {
		headers, err := it.Headers()
		if err != nil {
			return err
		}
		a.beginList("headers")
		for _, header := range headers {
			a.beginObject()
			a.field("name", header.Key)
			a.encoded(codec{}, "value", header.Value)
			a.endObject()
		}
		a.endList()
	}
	a.endObject()
	return nil
}
