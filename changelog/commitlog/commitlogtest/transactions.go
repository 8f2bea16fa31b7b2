package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

func transactionCases() []Case {
	return []Case{
		{Name: "append/order and ranges", Why: "per-key order and the offsets of commits are what tasks build on", run: orderAndRanges},
		{Name: "append/several batches", Why: "a large commit is more than one batch of a partition", run: severalBatches},
		{Name: "append/too large", Why: "a record nobody can store must fail before it is appended anywhere", Needs: []Feature{FeatureTooLarge}, run: tooLarge},
		{Name: "transactions/invisible until commit", Why: "a reader that sees uncommitted data counts it twice after a crash", run: invisibleUntilCommit},
		{Name: "transactions/abort", Why: "aborted output that leaks is wrong output", run: abortIsInvisible},
		{Name: "transactions/atomic", Why: "input positions without their outputs, or the other way round, lose or repeat records", Needs: []Feature{FeatureSnapshot}, run: atomicOverPartitions},
		{Name: "transactions/offsets", Why: "the position of a group has to move with what was made of it", run: offsetsInTransactions},
		{Name: "transactions/misuse", Why: "a forgotten Begin or Commit has to be noticed", run: misuse},
		{Name: "group offsets/metadata", Why: "the committer's own bytes are the mirror of the position record", run: groupMetadata},
	}
}

// severalBatches commits builders that have become several batches each.
func severalBatches(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	var want []string
	for round := range 3 {
		b := &recordbatch.Builder{MaxBytes: 500}
		for i := range 100 {
			value := fmt.Sprintf("%d.%d", round, i)
			b.Append(int64(i), []byte("key of "+value), []byte(value), nil)
			want = append(want, value)
		}
		if err := first(w.Begin, func() error { return w.Append(tp("a", 0), b) }); err != nil {
			return err
		}
		ranges, err := w.Commit(e.ctx)
		if err != nil {
			return err
		}
		if r := ranges[tp("a", 0)]; r.Next-r.Base != 100 {
			return fmt.Errorf("100 records were given %v", r)
		}
	}
	return e.expect(tp("a", 0), want...)
}

func orderAndRanges(e *env) error {
	w, err := e.topic("a", 2, "w")
	if err != nil {
		return err
	}
	var want []string
	for i := range 20 {
		if err := w.Begin(); err != nil {
			return err
		}
		var mine []string
		for j := range 1 + i%3 {
			values := []string{fmt.Sprintf("%d.%d.a", i, j), fmt.Sprintf("%d.%d.b", i, j)}
			if err := w.Append(tp("a", 0), builder(values...)); err != nil {
				return err
			}
			mine = append(mine, values...)
		}
		ranges, err := w.Commit(e.ctx)
		if err != nil {
			return err
		}
		want = append(want, mine...)
		if len(ranges) != 1 {
			return fmt.Errorf("commit returned ranges %v for one partition", ranges)
		}
		records, err := e.records(tp("a", 0))
		if err != nil {
			return err
		}
		got := records[max(0, len(records)-len(mine)):]
		if r := ranges[tp("a", 0)]; len(got) == 0 || r.Base != got[0].offset || r.Next != got[len(got)-1].offset+1 {
			return fmt.Errorf("commit %d returned %v, the records read back are %v", i, r, got)
		}
	}
	return first(
		func() error { return e.expect(tp("a", 0), want...) },
		func() error { return e.expect(tp("a", 1)) },
	)
}

func tooLarge(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	if err := w.Begin(); err != nil {
		return err
	}
	err = w.Append(tp("a", 0), builder(strings.Repeat("x", 20<<20)))
	if err == nil {
		_, err = w.Commit(e.ctx)
	}
	if err := mustFail("a record of 20 MiB", err, commitlog.ErrTooLarge); err != nil {
		return err
	}
	if err := w.Abort(); err != nil {
		return err
	}
	if _, err := e.put(w, tp("a", 0), "small"); err != nil {
		return fmt.Errorf("after a record too large: %w", err)
	}
	return e.expect(tp("a", 0), "small")
}

func invisibleUntilCommit(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	if err := w.Begin(); err != nil {
		return err
	}
	if err := w.Append(tp("a", 0), builder("x")); err != nil {
		return err
	}
	if err := e.expect(tp("a", 0)); err != nil {
		return fmt.Errorf("before the commit: %w", err)
	}
	if _, err := w.Commit(e.ctx); err != nil {
		return err
	}
	return e.expect(tp("a", 0), "x")
}

func abortIsInvisible(e *env) error {
	w, err := e.topic("a", 2, "w")
	if err != nil {
		return err
	}
	for i := range 4 {
		value := fmt.Sprint(i)
		if i%2 == 1 {
			if _, err := e.put(w, tp("a", 0), value); err != nil {
				return err
			}
			continue
		}
		if err := w.Begin(); err != nil {
			return err
		}
		for p := range int32(2) {
			if err := w.Append(tp("a", p), builder("aborted "+value)); err != nil {
				return err
			}
		}
		if err := w.Offsets("g", commitlog.Membership{}, map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", 0): {Offset: 7}}); err != nil {
			return err
		}
		if err := w.Abort(); err != nil {
			return fmt.Errorf("abort: %w", err)
		}
	}
	if offsets, err := e.log.GroupOffsets(e.ctx, "g"); err != nil || len(offsets) > 0 {
		return fmt.Errorf("offsets of aborted transactions show: %v, %v", offsets, err)
	}
	return first(
		func() error { return e.expect(tp("a", 0), "1", "3") },
		func() error { return e.expect(tp("a", 1)) },
	)
}

// atomicOverPartitions writes the same number of records to three partitions in
// each transaction, while a reader compares how far each has come.
func atomicOverPartitions(e *env) error {
	w, err := e.topic("a", 3, "w")
	if err != nil {
		return err
	}
	const transactions = 100
	done := make(chan error, 1)
	go func() { done <- writeToAll(e, w, transactions) }()
	r, err := e.log.NewReader(commitlog.ReaderOptions{MaxWait: time.Second})
	if err != nil {
		return err
	}
	defer r.Close()
	for p := range int32(3) {
		if err := r.Assign(tp("a", p), 0); err != nil {
			return err
		}
	}
	var counts [3]int
	for counts != [3]int{transactions, transactions, transactions} {
		fetched, err := r.Poll(e.ctx)
		if err != nil {
			return errors.Join(err, <-done)
		}
		for i, f := range fetched {
			for _, b := range f.Batches {
				counts[i] += int(b.Count)
			}
		}
		// A Poll need not bring everything up to the ends, but they are one moment's.
		if a, b, c := fetched[0].StableEnd, fetched[1].StableEnd, fetched[2].StableEnd; a != b || b != c {
			return errors.Join(fmt.Errorf("one Poll shows the ends %d, %d, %d after transactions that wrote one record to each partition", a, b, c), <-done)
		}
	}
	return <-done
}

func writeToAll(e *env, w commitlog.Writer, transactions int) error {
	for i := range transactions {
		if err := w.Begin(); err != nil {
			return err
		}
		for p := range int32(3) {
			if err := w.Append(tp("a", p), builder(fmt.Sprint(i))); err != nil {
				return err
			}
		}
		if _, err := w.Commit(e.ctx); err != nil {
			return err
		}
	}
	return nil
}

func offsetsInTransactions(e *env) error {
	w, err := e.topic("a", 2, "w")
	if err != nil {
		return err
	}
	for i := range int64(3) {
		if err := w.Begin(); err != nil {
			return err
		}
		if err := w.Append(tp("a", 0), builder(fmt.Sprint(i))); err != nil {
			return err
		}
		if err := w.Offsets("g", commitlog.Membership{}, map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", int32(i%2)): {Offset: i}}); err != nil {
			return err
		}
		if _, err := w.Commit(e.ctx); err != nil {
			return err
		}
	}
	return expectOffsets(e, "g", map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", 0): {Offset: 2}, tp("a", 1): {Offset: 1}})
}

func groupMetadata(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	if offsets, err := e.log.GroupOffsets(e.ctx, "new"); err != nil || len(offsets) > 0 {
		return fmt.Errorf("a new group has offsets %v, %v", offsets, err)
	}
	want := map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", 0): {Offset: 5, Metadata: strings.Repeat("\x00m", 2048)}}
	if err := first(w.Begin, func() error { return w.Offsets("g", commitlog.Membership{}, want) }, func() error { _, err := w.Commit(e.ctx); return err }); err != nil {
		return fmt.Errorf("a transaction of offsets only: %w", err)
	}
	return expectOffsets(e, "g", want)
}

func expectOffsets(e *env, group string, want map[commitlog.TopicPartition]commitlog.GroupOffset) error {
	got, err := e.log.GroupOffsets(e.ctx, group)
	if err != nil {
		return err
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("group %s has offsets %v, want %v", group, got, want)
	}
	return nil
}

func misuse(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	if err := w.Append(tp("a", 0), builder("x")); err == nil {
		return errors.New("Append without Begin succeeded")
	}
	if _, err := w.Commit(e.ctx); err == nil {
		return errors.New("Commit without Begin succeeded")
	}
	if err := w.Abort(); err != nil {
		return fmt.Errorf("Abort without a transaction: %w", err)
	}
	if err := w.Begin(); err != nil {
		return err
	}
	if err := w.Begin(); err == nil {
		return errors.New("a second Begin succeeded")
	}
	if ranges, err := w.Commit(e.ctx); err != nil || len(ranges) > 0 {
		return fmt.Errorf("an empty transaction: %v, %v", ranges, err)
	}
	cancelled, cancel := context.WithCancel(e.ctx)
	cancel()
	if err := first(w.Begin, func() error { return w.Append(tp("a", 0), builder("x")) }); err != nil {
		return err
	}
	if _, err := w.Commit(cancelled); err == nil {
		return errors.New("Commit with an ended context succeeded")
	}
	if err := w.Close(); err != nil {
		return err
	}
	return mustFail("Begin after Close", w.Begin(), commitlog.ErrClosed)
}
