package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// Settled implements commitlog.Log. A commit is acknowledged before its markers
// are written, and an open transaction of any other writer holds the stable end
// below what was committed behind it. So the high watermark of this moment is
// what has to be covered, and the stable end is waited for. Taking the stable end
// of this moment instead would let a new owner miss the last commit of the old.
func (l *Log) Settled(ctx context.Context, tps []commitlog.TopicPartition) (map[commitlog.TopicPartition]commitlog.Bounds, error) {
	targets, err := l.offsets(ctx, tps, highWatermark)
	if err != nil {
		return nil, fmt.Errorf("high watermarks: %w", err)
	}
	settled := make(map[commitlog.TopicPartition]commitlog.Bounds, len(tps))
	started := l.cfg.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, maxSettlePause) {
		found, err := l.offsets(ctx, slices.Collect(maps.Keys(targets)), logStart, stableEnd)
		if err != nil {
			return nil, fmt.Errorf("stable ends: %w", err)
		}
		for tp, at := range found {
			if at[1] >= targets[tp][0] {
				settled[tp] = commitlog.Bounds{Start: at[0], StableEnd: at[1]}
				delete(targets, tp)
			}
		}
		if len(targets) == 0 {
			return settled, nil
		}
		if waited := l.cfg.Now().Sub(started); waited >= l.cfg.HangWait {
			for tp, target := range targets {
				return nil, l.unsettled(ctx, tp, found[tp][1], target[0], waited)
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("wait for the open transactions of %s: %w", describe(slices.Collect(maps.Keys(targets))), err)
		}
	}
}

const maxSettlePause = 50 * time.Millisecond

// unsettled says why a partition's stable end has not come: a transaction that
// hangs, or one that takes longer than its timeout allows.
func (l *Log) unsettled(ctx context.Context, tp commitlog.TopicPartition, end, target int64, waited time.Duration) error {
	waited = waited.Round(100 * time.Millisecond)
	hanging, err := l.hanging(ctx, tp)
	if err != nil {
		return fmt.Errorf("the stable end of %s stayed at %d, below %d, for %v: %w", tp, end, target, waited, err)
	}
	if hanging != nil {
		hanging.Waited = fmt.Sprintf("the stable end stayed at %d, below %d, for %v", end, target, waited)
		return hanging
	}
	return fmt.Errorf("%s: the transaction open at offset %d was not ended within %v; its writer lives, or has a transaction timeout above that: "+
		"find it with \"tidemill txn list\", or raise HangWait", tp, end, waited)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
