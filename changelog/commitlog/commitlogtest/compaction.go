package commitlogtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

func compactionCases() []Case {
	compaction := []Feature{FeatureCompaction}
	return []Case{
		{Name: "restored/from every offset", Why: "a restore that waits for a record at a marker's offset never ends", run: restoredFromEverywhere},
		{Name: "restored/aborted tail", Why: "a changelog may end in what its writer gave up", run: restoredOverAborted},
		{Name: "compaction/newest of each key", Needs: compaction, Why: "a compacted changelog is the store", run: compactionKeepsNewest},
		{Name: "compaction/from every offset", Needs: compaction, Why: "a restore has to end on a log with holes and emptied batches", run: restoredOverHoles},
		{Name: "compaction/point reads", Needs: compaction, Why: "an index may point at what compaction took: that is a miss, not the next record", run: pointReadsOfCompacted},
		{Name: "compaction/latest", Needs: compaction, Why: "positions live in a compacted topic", run: latestAfterCompaction},
		{Name: "retention/moves the start", Needs: []Feature{FeatureRetention}, Why: "a reader behind the retention has to be told", run: retentionMovesStart},
		{Name: "trim/moves the start", Needs: []Feature{FeatureTrim}, Why: "expired rows of windowed stores are trimmed away", run: trimMovesStart},
	}
}

// compacted is a topic of one partition that was written and compacted.
type compacted struct {
	at      commitlog.TopicPartition
	start   int64            // after compaction
	end     int64            // before the fillers
	live    map[int64]read   // by offset; the newest of each key
	removed []int64          // offsets that compaction may take
	keys    map[int64]string // of live
}

// keyed makes a builder of records key=value.
func keyed(pairs ...string) *recordbatch.Builder {
	b := &recordbatch.Builder{}
	for i, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		b.Append(int64(1000+i), []byte(key), []byte(value), nil)
	}
	return b
}

// compact writes batches of which some keep no record, some keep holes, and has
// them compacted.
func (e *env) compact() (*compacted, error) {
	c := &compacted{at: tp("compacted", 0), live: map[int64]read{}, keys: map[int64]string{}}
	if err := e.log.CreateTopic(e.ctx, commitlog.TopicConfig{Name: "compacted", Partitions: 1, Cleanup: commitlog.CleanupCompact}); err != nil {
		return nil, err
	}
	w, err := e.writer("w")
	if err != nil {
		return nil, err
	}
	newest := map[string]int64{}
	for i := range 40 {
		// Every tenth batch has a key of its own in the middle: a hole on both sides.
		pairs := []string{fmt.Sprintf("k%d=%d", i%5, i), fmt.Sprintf("k%d=%d'", (i+1)%5, i)}
		if i%10 == 3 {
			pairs = slices.Insert(pairs, 1, fmt.Sprintf("only%d=%d", i, i))
		}
		if err := first(w.Begin, func() error { return w.Append(c.at, keyed(pairs...)) }); err != nil {
			return nil, err
		}
		if i%7 == 6 {
			if err := w.Abort(); err != nil {
				return nil, err
			}
			continue
		}
		ranges, err := w.Commit(e.ctx)
		if err != nil {
			return nil, err
		}
		for j, pair := range pairs {
			key, value, _ := strings.Cut(pair, "=")
			offset := ranges[c.at].Base + int64(j)
			if old, ok := newest[key]; ok {
				c.removed = append(c.removed, old)
				delete(c.live, old)
				delete(c.keys, old)
			}
			newest[key], c.live[offset], c.keys[offset] = offset, read{offset, value}, key
		}
	}
	settled, err := e.log.Settled(e.ctx, []commitlog.TopicPartition{c.at})
	if err != nil {
		return nil, err
	}
	c.end = settled[c.at].StableEnd
	if err := e.harness.Compact(e.ctx, e.log, "compacted"); err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	// Kafka leaves the start where it is; a log may also move it.
	bounds, err := e.log.Bounds(e.ctx, c.at)
	c.start = bounds.Start
	return c, err
}

// expected are the live records from an offset on.
func (c *compacted) expected(from int64) []read {
	var want []read
	for offset, r := range c.live {
		if offset >= from {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b read) int { return int(a.offset - b.offset) })
	return want
}

func compactionKeepsNewest(e *env) error {
	c, err := e.compact()
	if err != nil {
		return err
	}
	got, err := e.recordsFrom(c.at, c.start, c.end)
	if err != nil {
		return err
	}
	got = slices.DeleteFunc(got, func(r read) bool { return r.offset >= c.end })
	if want := c.expected(0); !slices.Equal(got, want) {
		return fmt.Errorf("after compaction the log holds\n%v, want\n%v", got, want)
	}
	return nil
}

func restoredOverHoles(e *env) error {
	c, err := e.compact()
	if err != nil {
		return err
	}
	settled, err := e.log.Settled(e.ctx, []commitlog.TopicPartition{c.at})
	if err != nil {
		return err
	}
	for from := c.start; from <= c.end; from++ {
		got, err := e.recordsFrom(c.at, from, settled[c.at].StableEnd)
		if err != nil {
			return fmt.Errorf("read from offset %d: %w", from, err)
		}
		got = slices.DeleteFunc(got, func(r read) bool { return r.offset >= c.end })
		if want := c.expected(from); !slices.Equal(got, want) {
			return fmt.Errorf("from offset %d the log holds\n%v, want\n%v", from, got, want)
		}
	}
	return nil
}

func pointReadsOfCompacted(e *env) error {
	c, err := e.compact()
	if err != nil {
		return err
	}
	var ids []commitlog.RecordID
	for offset := range c.end {
		ids = append(ids, commitlog.RecordID{TopicPartition: c.at, Offset: offset})
	}
	records, err := e.log.ReadAt(e.ctx, ids)
	if err != nil {
		return err
	}
	for offset, r := range records {
		want, live := c.live[int64(offset)]
		if r.Found != live || live && (string(r.Value) != want.value || string(r.Key) != c.keys[int64(offset)]) {
			return fmt.Errorf("offset %d is read as %+v, want %q, %v", offset, r, want.value, live)
		}
	}
	if len(c.removed) == 0 {
		return errors.New("the case removes nothing")
	}
	return nil
}

func latestAfterCompaction(e *env) error {
	c, err := e.compact()
	if err != nil {
		return err
	}
	for offset, key := range c.keys {
		got, ok, err := e.log.Latest(e.ctx, c.at, []byte(key))
		if err != nil || !ok || got.Offset != offset || string(got.Value) != c.live[offset].value {
			return fmt.Errorf("key %s: %+v, %v, %v, want offset %d", key, got, ok, err, offset)
		}
	}
	return nil
}

// everyOffset reads from each offset to the end of what is settled now.
func (e *env) everyOffset(at commitlog.TopicPartition) error {
	settled, err := e.log.Settled(e.ctx, []commitlog.TopicPartition{at})
	if err != nil {
		return err
	}
	end := settled[at].StableEnd
	all, err := e.recordsFrom(at, 0, end)
	if err != nil {
		return err
	}
	for from := int64(0); from <= end; from++ {
		got, err := e.recordsFrom(at, from, end)
		if err != nil {
			return fmt.Errorf("read from offset %d: %w", from, err)
		}
		want := slices.DeleteFunc(slices.Clone(all), func(r read) bool { return r.offset < from })
		if !slices.Equal(got, want) {
			return fmt.Errorf("from offset %d: %v, want %v", from, got, want)
		}
	}
	return nil
}

func restoredFromEverywhere(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	for i := range 8 {
		if _, err := e.put(w, tp("a", 0), fmt.Sprint(i, "a"), fmt.Sprint(i, "b")); err != nil {
			return err
		}
	}
	return e.everyOffset(tp("a", 0))
}

func restoredOverAborted(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	for i := range 6 {
		if _, err := e.put(w, tp("a", 0), fmt.Sprint(i)); err != nil {
			return err
		}
		if err := first(w.Begin, func() error { return w.Append(tp("a", 0), builder("aborted", "too")) }, w.Abort); err != nil {
			return err
		}
	}
	return first(func() error { return e.everyOffset(tp("a", 0)) }, func() error { return e.expect(tp("a", 0), "0", "1", "2", "3", "4", "5") })
}

func retentionMovesStart(e *env) error {
	cfg := commitlog.TopicConfig{Name: "a", Partitions: 1, RetentionBytes: 1 << 20, SegmentBytes: 1 << 20}
	if err := e.log.CreateTopic(e.ctx, cfg); err != nil {
		return err
	}
	w, err := e.writer("w")
	if err != nil {
		return err
	}
	for i := range 50 { // 5 MB
		if _, err := e.put(w, tp("a", 0), fmt.Sprintf("%d %s", i, strings.Repeat("x", 100_000))); err != nil {
			return err
		}
	}
	if err := e.harness.Expire(e.ctx, e.log, "a"); err != nil {
		return fmt.Errorf("expire: %w", err)
	}
	bounds, err := e.log.Bounds(e.ctx, tp("a", 0))
	if err != nil || bounds.Start == 0 {
		return fmt.Errorf("after retention the bounds are %+v, %v", bounds, err)
	}
	if err := e.expectOutOfRange(tp("a", 0), 0, bounds.Start); err != nil {
		return err
	}
	values, err := e.values(tp("a", 0))
	if err != nil || len(values) == 0 || len(values) == 50 {
		return fmt.Errorf("%d values are left, %v", len(values), err)
	}
	for i, v := range values {
		if want := fmt.Sprintf("%d ", 50-len(values)+i); !strings.HasPrefix(v, want) {
			return fmt.Errorf("value %d of those left is %.20q, want one that begins with %q", i, v, want)
		}
	}
	return nil
}

// expectOutOfRange demands that a reader below the start is told where it is.
func (e *env) expectOutOfRange(at commitlog.TopicPartition, offset, start int64) error {
	r, err := e.log.NewReader(commitlog.ReaderOptions{MaxWait: time.Second})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Assign(at, offset); err != nil {
		return err
	}
	var out *commitlog.OffsetOutOfRangeError
	if _, err := r.Poll(e.ctx); !errors.As(err, &out) || out.Offset != offset || out.TopicPartition != at || out.Bounds.Start != start {
		return fmt.Errorf("a Poll at offset %d below the start %d gave %v, want an OffsetOutOfRangeError", offset, start, err)
	}
	return nil
}

func trimMovesStart(e *env) error {
	if err := e.log.CreateTopic(e.ctx, commitlog.TopicConfig{Name: "a", Partitions: 1, Cleanup: commitlog.CleanupCompactDelete}); err != nil {
		return err
	}
	w, err := e.writer("w")
	if err != nil {
		return err
	}
	at := tp("a", 0)
	var ranges []commitlog.Range
	for i := range 6 {
		r, err := e.put(w, at, fmt.Sprint(i, "a"), fmt.Sprint(i, "b"))
		if err != nil {
			return err
		}
		ranges = append(ranges, r)
	}
	if _, err := e.log.Settled(e.ctx, []commitlog.TopicPartition{at}); err != nil {
		return err
	}
	before := ranges[2].Base + 1 // in the middle of a batch
	if err := e.log.Trim(e.ctx, at, before); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	if err := e.log.Trim(e.ctx, at, before-1); err != nil {
		return fmt.Errorf("trim below the start, which is done already: %w", err)
	}
	bounds, err := e.log.Bounds(e.ctx, at)
	if err != nil || bounds.Start != before {
		return fmt.Errorf("trimmed below %d, the bounds are %+v, %v", before, bounds, err)
	}
	records, err := e.log.ReadAt(e.ctx, []commitlog.RecordID{{TopicPartition: at, Offset: ranges[0].Base}, {TopicPartition: at, Offset: before}})
	if err != nil || records[0].Found || string(records[1].Value) != "2b" {
		return fmt.Errorf("point reads around the start gave %+v, %v", records, err)
	}
	if err := e.log.Trim(e.ctx, at, bounds.StableEnd+1); err == nil {
		return errors.New("a trim above the stable end succeeded")
	}
	return first(
		func() error { return e.expectOutOfRange(at, ranges[0].Base, before) },
		func() error { return e.expect(at, "2b", "3a", "3b", "4a", "4b", "5a", "5b") },
	)
}
