package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func readerCases() []Case {
	return []Case{
		{Name: "reader/positions", Why: "a task goes on exactly where its position says", run: readerPositions},
		{Name: "reader/bounded", Why: "a backlog must not fill the memory", run: readerBounded},
		{Name: "reader/pause and stable ends", Why: "a task waits for an input by its stable end, also while it is paused", run: pauseAndStableEnds},
		{Name: "reader/long poll", Why: "polling in a circle burns a core; sleeping too long costs latency", run: longPoll},
		{Name: "reader/wake", Why: "a worker has to leave a Poll when its tasks change", run: wakeReader},
		{Name: "reader/out of range", Why: "a position that is gone must be decided about, not skipped", run: outOfRange},
		{Name: "reader/batches are immutable", Why: "keys and values alias the batch for as long as they are used", run: batchesStay},
	}
}

// reader opens a reader on partitions of topic a at offset 0.
func (e *env) reader(opts commitlog.ReaderOptions, partitions ...int32) (commitlog.Reader, error) {
	r, err := e.log.NewReader(opts)
	if err != nil {
		return nil, err
	}
	for _, p := range partitions {
		if err := r.Assign(tp("a", p), 0); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// pollValue polls until partition a-0 has records and returns the first one's.
func (e *env) pollValue(r commitlog.Reader, from int64) (string, error) {
	for {
		fetched, err := r.Poll(e.ctx)
		if err != nil {
			return "", err
		}
		if len(fetched) == 0 {
			continue
		}
		records, err := collect(nil, fetched[0], from)
		if err != nil {
			return "", err
		}
		if len(records) > 0 {
			return records[0].value, nil
		}
	}
}

func readerPositions(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	var bases []int64
	for i := range 5 {
		got, err := e.put(w, tp("a", 0), fmt.Sprint(i, "a"), fmt.Sprint(i, "b"))
		if err != nil {
			return err
		}
		bases = append(bases, got.Base)
	}
	r, err := e.reader(commitlog.ReaderOptions{MaxWait: 10 * time.Millisecond})
	if err != nil {
		return err
	}
	defer r.Close()
	for i := 4; i >= 0; i-- {
		for half, suffix := range []string{"a", "b"} {
			offset := bases[i] + int64(half)
			if err := r.Assign(tp("a", 0), offset); err != nil {
				return err
			}
			if got, err := e.pollValue(r, offset); err != nil || got != fmt.Sprint(i, suffix) {
				return fmt.Errorf("at offset %d: %q, %v, want %q", offset, got, err, fmt.Sprint(i, suffix))
			}
		}
	}
	r.Unassign(tp("a", 0))
	if fetched, err := r.Poll(e.ctx); err != nil || len(fetched) != 0 {
		return fmt.Errorf("a Poll without partitions gave %v, %v", fetched, err)
	}
	return nil
}

func readerBounded(e *env) error {
	w, err := e.topic("a", 3, "w")
	if err != nil {
		return err
	}
	const records = 60
	for range records {
		for p := range int32(3) {
			if _, err := e.put(w, tp("a", p), string(make([]byte, 1000))); err != nil {
				return err
			}
		}
	}
	r, err := e.reader(commitlog.ReaderOptions{MaxBytes: 5000, MaxPartitionBytes: 2500, MaxWait: time.Second}, 0, 1, 2)
	if err != nil {
		return err
	}
	defer r.Close()
	// Where partitions come from several servers, this backlog of one may be read
	// before the connection to the next stands. It must come all the same.
	allowed := 10
	if _, remote := e.harness.lacks(Case{Needs: []Feature{FeatureSnapshot}}); remote {
		allowed = records
	}
	counts := make([]int, 3)
	for counts[0]+counts[1]+counts[2] < 3*records {
		fetched, err := r.Poll(e.ctx)
		if err != nil {
			return err
		}
		total, served := 0, 0
		for _, f := range fetched {
			i, size := f.Partition, 0
			for _, b := range f.Batches {
				counts[i] += int(b.Count)
				size += len(b.Raw)
			}
			// One batch may come on top, whole.
			if size > 2500+1200 {
				return fmt.Errorf("%d bytes of partition %d in one Poll, the bound is 2500", size, i)
			}
			total += size
			served += min(size, 1)
		}
		if total > 5000+1200 {
			return fmt.Errorf("%d bytes in one Poll, the bound is 5000", total)
		}
		if gap := max(counts[0], counts[1], counts[2]) - min(counts[0], counts[1], counts[2]); gap > allowed {
			return fmt.Errorf("one partition is starved: %v records read of each", counts)
		}
	}
	return nil
}

func pauseAndStableEnds(e *env) error {
	w, err := e.topic("a", 2, "w")
	if err != nil {
		return err
	}
	r, err := e.reader(commitlog.ReaderOptions{MaxWait: 10 * time.Millisecond}, 0, 1)
	if err != nil {
		return err
	}
	defer r.Close()
	r.Pause(tp("a", 0))
	wrote, err := e.put(w, tp("a", 0), "x", "y")
	if err != nil {
		return err
	}
	for seen := 0; seen < 3; {
		fetched, err := r.Poll(e.ctx)
		if err != nil {
			return err
		}
		settled := true
		for _, f := range fetched {
			want := int64(0)
			if f.TopicPartition == tp("a", 0) {
				want = wrote.Next
			}
			if len(f.Batches) > 0 || want == 0 && f.StableEnd != 0 {
				return fmt.Errorf("%s while paused or empty: %d batches, stable end %d, want %d", f.TopicPartition, len(f.Batches), f.StableEnd, want)
			}
			// A log with markers counts them in its stable end, and may tell it a moment
			// after the commit.
			settled = settled && f.StableEnd >= want
		}
		if len(fetched) == 2 && settled {
			seen++
		}
	}
	r.Resume(tp("a", 0))
	if got, err := e.pollValue(r, 0); err != nil || got != "x" {
		return fmt.Errorf("after Resume: %q, %v", got, err)
	}
	return nil
}

func longPoll(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	r, err := e.reader(commitlog.ReaderOptions{MaxWait: 20 * time.Second}, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	done := make(chan error, 1)
	go func() {
		got, err := e.pollValue(r, 0)
		if err == nil && got != "x" {
			err = fmt.Errorf("polled %q", got)
		}
		done <- err
	}()
	if _, err := e.put(w, tp("a", 0), "x"); err != nil {
		return err
	}
	select {
	case err := <-done:
		if err != nil {
			return err
		}
	case <-time.After(10 * time.Second):
		return errors.New("a Poll did not return for 10 s after data was committed")
	}
	ended, cancel := context.WithCancelCause(e.ctx)
	cause := errors.New("test is over")
	cancel(cause)
	if _, err := r.Poll(ended); !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a Poll with an ended context gave %v", err)
	}
	return nil
}

func wakeReader(e *env) error {
	if _, err := e.topic("a", 1, "w"); err != nil {
		return err
	}
	r, err := e.reader(commitlog.ReaderOptions{MaxWait: 20 * time.Second}, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, what := range []string{"the next", "a waiting"} {
		done := make(chan error, 1)
		if what == "the next" {
			r.Wake()
		}
		go func() { _, err := r.Poll(e.ctx); done <- err }()
		if what == "a waiting" {
			time.Sleep(20 * time.Millisecond)
			r.Wake()
		}
		select {
		case err := <-done:
			if err != nil {
				return err
			}
		case <-time.After(10 * time.Second):
			return fmt.Errorf("Wake did not end %s Poll within 10 s", what)
		}
	}
	return nil
}

func outOfRange(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	wrote, err := e.put(w, tp("a", 0), "x")
	if err != nil {
		return err
	}
	r, err := e.reader(commitlog.ReaderOptions{MaxWait: 10 * time.Millisecond})
	if err != nil {
		return err
	}
	defer r.Close()
	for _, offset := range []int64{-1, wrote.Next + 1000} {
		if err := r.Assign(tp("a", 0), offset); err != nil {
			return err
		}
		var out *commitlog.OffsetOutOfRangeError
		if _, err := r.Poll(e.ctx); !errors.As(err, &out) || out.Offset != offset || out.TopicPartition != tp("a", 0) {
			return fmt.Errorf("a Poll at offset %d gave %v, want an OffsetOutOfRangeError", offset, err)
		}
	}
	if err := r.Assign(tp("a", 0), wrote.Base); err != nil {
		return err
	}
	if got, err := e.pollValue(r, wrote.Base); err != nil || got != "x" {
		return fmt.Errorf("back in range: %q, %v", got, err)
	}
	return nil
}

func batchesStay(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	b := builder("first", "second")
	if err := first(w.Begin, func() error { return w.Append(tp("a", 0), b) }); err != nil {
		return err
	}
	if _, err := w.Commit(e.ctx); err != nil {
		return err
	}
	r, err := e.reader(commitlog.ReaderOptions{}, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	var fetched []commitlog.Fetched
	for len(fetched) == 0 || len(fetched[0].Batches) == 0 {
		if fetched, err = r.Poll(e.ctx); err != nil {
			return err
		}
	}
	before := string(fetched[0].Batches[0].Raw)
	for i := range 50 { // the builder is the caller's again, and buffers may be recycled
		b.Reset()
		b.Append(int64(i), []byte("other"), []byte(fmt.Sprint("other value ", i)), nil)
		if err := first(w.Begin, func() error { return w.Append(tp("a", 0), b) }); err != nil {
			return err
		}
		if _, err := w.Commit(e.ctx); err != nil {
			return err
		}
	}
	bounds, err := e.log.Bounds(e.ctx, tp("a", 0))
	if err != nil {
		return err
	}
	for next := fetched[0].Next; next < bounds.StableEnd; {
		later, err := r.Poll(e.ctx)
		if err != nil {
			return err
		}
		if len(later) > 0 {
			next = later[0].Next
		}
	}
	if string(fetched[0].Batches[0].Raw) != before {
		return errors.New("a batch that was handed out has changed")
	}
	return nil
}
