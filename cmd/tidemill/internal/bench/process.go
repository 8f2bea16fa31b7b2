package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/query"
)

// commits adds up what the workers report.
type commits struct {
	mu struct {
		sync.Mutex
		n   int64
		sum runtime.CommitStats
	}
}

func (c *commits) add(s runtime.CommitStats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.n++
	c.mu.sum.Records += s.Records
	c.mu.sum.OutputRecords += s.OutputRecords
	c.mu.sum.ChangelogRecords += s.ChangelogRecords
	c.mu.sum.CPU += s.CPU
}

func (c *commits) report(out *Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out.Commits, out.Records = c.mu.n, c.mu.sum.Records
	out.OutputRecords, out.ChangelogRecords = c.mu.sum.OutputRecords, c.mu.sum.ChangelogRecords
	out.CommitCPUSeconds = c.mu.sum.CPU.Seconds()
}

// engine is an application that is prepared but does not run yet.
type engine struct {
	job     Job
	log     *embedded.Log
	app     *runtime.App
	commits commits
	before  embedded.Stats
}

func newEngine(ctx context.Context, j Job) (*engine, error) {
	t, err := j.build()
	if err != nil {
		return nil, err
	}
	e := &engine{job: j}
	if e.log, err = j.openLog(); err != nil {
		return nil, err
	}
	e.app, err = runtime.New(ctx, t, runtime.Config{
		Dir: j.Dir, Log: e.log, Workers: j.Workers, CommitInterval: j.CommitInterval, OnCommit: e.commits.add, Logger: logger(),
	})
	if err != nil {
		return nil, errors.Join(err, e.log.Close())
	}
	e.before = e.log.Stats()
	return e, nil
}

// run runs the application until the given function returns, closes it and its
// log, and counts what the log has written.
func (e *engine) run(ctx context.Context, until func(context.Context) error, out *Outcome) error {
	running, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- e.app.Run(running) }()
	err := until(ctx)
	cancel()
	err = errors.Join(err, <-done, e.log.Close())
	after := e.log.Stats()
	out.BytesWritten = after.JournalBytes + after.SegmentBytes - e.before.JournalBytes - e.before.SegmentBytes
	out.Fsyncs = after.JournalSyncs + after.SegmentSyncs - e.before.JournalSyncs - e.before.SegmentSyncs
	e.commits.report(out)
	return err
}

// process measures from the start of the workers until everything is processed
// and committed and the stores and the log are closed.
func process(ctx context.Context, j Job) (out Outcome, err error) {
	e, err := newEngine(ctx, j)
	if err != nil {
		return out, err
	}
	m, err := startMeter(j)
	if err != nil {
		return out, errors.Join(err, e.app.Close(), e.log.Close())
	}
	if err := e.run(ctx, e.app.WaitProcessed, &out); err != nil {
		return out, err
	}
	if err := m.stop(j, &out); err != nil {
		return out, err
	}
	if want := j.inputRecords(); out.Records != want {
		out.Problems = append(out.Problems, fmt.Sprintf("the engine committed %d input records, the topic has %d", out.Records, want))
	}
	return out, nil
}

// restore measures from the start of the workers until every store is restored.
// The sum of the counts is checked after that.
func restore(ctx context.Context, j Job) (out Outcome, err error) {
	e, err := newEngine(ctx, j)
	if err != nil {
		return out, err
	}
	m, err := startMeter(j)
	if err != nil {
		return out, errors.Join(err, e.app.Close(), e.log.Close())
	}
	var restored int64
	err = e.run(ctx, func(ctx context.Context) error {
		if err := e.app.WaitReady(ctx); err != nil {
			return err
		}
		if err := m.stop(j, &out); err != nil {
			return err
		}
		for _, t := range e.app.Health().Tasks {
			restored += t.Restored
		}
		return checkCounts(ctx, j, e.app, &out)
	}, &out)
	out.Records, out.ChangelogRecords = restored, restored
	return out, err
}

// checkCounts adds up the counts of all keys.
func checkCounts(ctx context.Context, j Job, b query.Backend, out *Outcome) error {
	var sum, keys int64
	_, err := query.Scan(ctx, b, counts, query.Range[string]{}, func(_ string, n int64) bool {
		sum, keys = sum+n, keys+1
		return true
	})
	if err != nil {
		return fmt.Errorf("read the restored counts: %w", err)
	}
	if sum != j.Records() {
		out.Problems = append(out.Problems, fmt.Sprintf("the counts of %d restored keys add up to %d, want %d", keys, sum, j.Records()))
	}
	return nil
}
