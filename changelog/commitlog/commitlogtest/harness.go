package commitlogtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// Feature is something that a harness may say its log does not offer.
type Feature string

const (
	// FeatureReopen: the log can be closed and opened again with its data.
	FeatureReopen Feature = "reopen"
	// FeatureCrash: the log can be lost without closing and opened again.
	FeatureCrash Feature = "crash"
	// FeatureSnapshot: one Poll shows a transaction on all its partitions or on
	// none of them.
	FeatureSnapshot Feature = "snapshot polls"
	// FeatureHolder: a second writer of a claimed partition is refused.
	FeatureHolder Feature = "exclusive holder"
	// FeatureGroups: groups with members.
	FeatureGroups Feature = "group membership"
	// FeatureStaticMetadata: a static member that comes back with other metadata
	// causes no rebalance.
	FeatureStaticMetadata Feature = "static restart with changed metadata"
	// FeatureCompaction: Harness.Compact works.
	FeatureCompaction Feature = "compaction on demand"
	// FeatureRetention: Harness.Expire works.
	FeatureRetention Feature = "retention on demand"
	// FeatureTrim: Log.Trim works.
	FeatureTrim Feature = "trimming"
	// FeatureServerRestart: Harness.RestartServer works.
	FeatureServerRestart Feature = "server restart under open logs"
	// FeatureTooLarge: the log under test accepts less than 20 MiB in a record.
	FeatureTooLarge Feature = "record size limit"
)

// Harness gives the kit logs to test.
type Harness struct {
	// Open returns an empty log.
	Open func() (commitlog.Log, error)
	// Reopen ends the log, by a crash or by Close, and opens it again. It may be
	// nil if FeatureReopen and FeatureCrash are missing.
	Reopen func(l commitlog.Log, crash bool) (commitlog.Log, error)
	// Again opens one more handle on the same data, as another process would. It
	// may be nil if the log lives in one process; cases then use the one handle.
	Again func(l commitlog.Log) (commitlog.Log, error)
	// Compact compacts a topic as far as the log can at once and returns when that
	// is done; it may append records of its own to make the log do so, with the
	// key "filler". nil if FeatureCompaction is missing.
	Compact func(ctx context.Context, l commitlog.Log, topic string) error
	// Expire makes the log apply retention to a topic, whose RetentionBytes is
	// small, and returns when that is done. nil if FeatureRetention is missing.
	Expire func(ctx context.Context, l commitlog.Log, topic string) error
	// RestartServer ends the log's server without warning and brings it back, under
	// open handles. nil if FeatureServerRestart is missing.
	RestartServer func(ctx context.Context) error
	// Mend repairs what a killed server may leave behind (transactions that hang).
	// nil if there is no such thing.
	Mend func(ctx context.Context, l commitlog.Log) error
	// Missing lists the features that the log does not offer.
	Missing []Feature
	// Timeout bounds a case; 0 means 30 seconds.
	Timeout time.Duration
	// MinSession is the shortest session timeout of members that the log accepts;
	// 0 means 50 ms. A real broker's default is 6 s.
	MinSession time.Duration
}

// Case is one demand of the contract.
type Case struct {
	Name  string
	Why   string // what breaks in the engine if a log fails here
	Needs []Feature
	run   func(e *env) error
}

// Cases returns all cases.
func Cases() []Case {
	return slices.Concat(topicCases(), transactionCases(), fencingCases(), exclusiveCases(),
		readerCases(), lookupCases(), durabilityCases(), concurrencyCases(),
		groupCases(), compactionCases(), serverCases())
}

// Run runs every case whose features are offered as a subtest.
func Run(t *testing.T, h Harness) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if f, missing := h.lacks(c); missing {
				t.Skipf("the log does not offer %q", f)
			}
			if err := Check(h, c); err != nil {
				t.Errorf("%v\nwhy it matters: %s", err, c.Why)
			}
		})
	}
}

// Check runs one case on a log of its own.
func Check(h Harness, c Case) (err error) {
	timeout := h.Timeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	l, err := h.Open()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	e := &env{harness: h, log: l, ctx: ctx}
	defer func() {
		if closeErr := e.log.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("close: %w", closeErr)
		}
	}()
	return c.run(e)
}

func (h Harness) lacks(c Case) (Feature, bool) {
	for _, f := range c.Needs {
		if slices.Contains(h.Missing, f) || f == FeatureServerRestart && h.RestartServer == nil {
			return f, true
		}
	}
	return "", false
}
