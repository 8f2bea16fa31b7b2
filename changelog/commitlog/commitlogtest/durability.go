package commitlogtest

import (
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func durabilityCases() []Case {
	return []Case{
		{Name: "durability/reopen", Why: "acknowledged means on disk", Needs: []Feature{FeatureReopen}, run: func(e *env) error { return survives(e, false) }},
		{Name: "durability/crash", Why: "acknowledged means on disk, also without a clean end", Needs: []Feature{FeatureCrash}, run: func(e *env) error { return survives(e, true) }},
	}
}

// survives fills a log, ends it, and compares; three times over.
func survives(e *env, crash bool) error {
	if _, err := e.topic("a", 2, "w"); err != nil {
		return err
	}
	if err := e.log.CreateTopic(e.ctx, commitlog.TopicConfig{Name: "keep", Partitions: 2, KeepLatest: true, Cleanup: commitlog.CleanupCompact}); err != nil {
		return err
	}
	var want []string
	lastEpoch := int64(-1)
	for round := range 3 {
		w, err := e.writer("w")
		if err != nil {
			return err
		}
		if w.Epoch() <= lastEpoch {
			return fmt.Errorf("epoch %d after %d: an epoch was forgotten", w.Epoch(), lastEpoch)
		}
		lastEpoch = w.Epoch()
		offsets := map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", 0): {Offset: int64(round), Metadata: fmt.Sprint("round ", round)}}
		for i := range 20 {
			value := fmt.Sprintf("%d.%d", round, i)
			if err := first(w.Begin,
				func() error { return w.Append(tp("a", 1), builder(value)) },
				func() error { return w.Append(tp("keep", 1), builder("same key")) },
				func() error { return w.Offsets("g", commitlog.Membership{}, offsets) },
			); err != nil {
				return err
			}
			if _, err := w.Commit(e.ctx); err != nil {
				return err
			}
			want = append(want, value)
		}
		if err := first(w.Begin, func() error { return w.Append(tp("a", 1), builder("never committed")) }); err != nil {
			return err
		}
		if err := e.reopen(crash); err != nil {
			return err
		}
		if err := e.afterReopen(round, want, offsets); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

func (e *env) afterReopen(round int, want []string, offsets map[commitlog.TopicPartition]commitlog.GroupOffset) error {
	value := "same key"
	cfg, err := e.log.Topic(e.ctx, "keep")
	if err != nil || cfg.Partitions != 2 || cfg.Cleanup != commitlog.CleanupCompact {
		return fmt.Errorf("topic keep is %+v, %v", cfg, err)
	}
	got, ok, err := e.log.Latest(e.ctx, tp("keep", 1), []byte("key of "+value))
	if err != nil || !ok || string(got.Value) != value {
		return fmt.Errorf("latest is %+v, %v, %v", got, ok, err)
	}
	kept, err := e.records(tp("keep", 1))
	if err != nil {
		return err
	}
	if n := 20 * (round + 1); len(kept) != n || got.Offset != kept[n-1].offset {
		return fmt.Errorf("latest is at offset %d, the partition ends with %v", got.Offset, kept)
	}
	return first(
		func() error { return e.expect(tp("a", 1), want...) },
		func() error { return e.expect(tp("a", 0)) },
		func() error { return expectOffsets(e, "g", offsets) },
	)
}
