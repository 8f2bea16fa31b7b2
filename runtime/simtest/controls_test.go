package simtest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/state"
)

// found is what a broken guard led to, over many seeds: how many had which kind
// of finding.
type found struct{ lost, dup, wrong, refused int }

func runBroken(t *testing.T, name string, seeds uint64, broken func() faults, one func(uint64, faults) (verdict, error)) found {
	t.Helper()
	var total verdict
	var n found
	var mu sync.Mutex
	each(0, seeds, func(seed uint64) {
		v, err := one(seed, broken())
		mu.Lock()
		defer mu.Unlock()
		total.add(v)
		n.lost, n.dup, n.wrong = n.lost+min(v.lost, 1), n.dup+min(v.dup, 1), n.wrong+min(v.wrong, 1)
		if err != nil {
			if n.refused < 3 {
			}
			n.refused++
		}
	})
	t.Logf("%s, %s: seeds with a loss %d, a duplicate %d, a wrong value %d, refused to start %d of %d",
		total.line("0.."), name, n.lost, n.dup, n.wrong, n.refused, seeds)
	return n
}

func noSyncs() faults { return faults{lazy: &atomic.Bool{}} }

// Without syncs the power loss must show, or the test proves nothing.
func TestControlNoSyncs(t *testing.T) {
	const seeds = 100
	if n := runBroken(t, "no syncs", seeds, noSyncs, powerLoss); n.lost*100 < seeds {
		t.Errorf("%d of %d seeds lost something, want at least 1 %%", n.lost, seeds)
	}
}

// A transaction without its position record must be found. If the group still
// moves, the next start refuses; if nothing tells where the task stood, records
// are processed again.
func TestControlPositionsDropped(t *testing.T) {
	const seeds = 60
	drop := func(offsets bool) func() faults {
		return func() faults {
			return faults{log: func(l commitlog.Log) commitlog.Log { return forgetfulLog{l, offsets} }}
		}
	}
	if n := runBroken(t, "positions dropped", seeds, drop(false), powerLoss); n.refused < seeds/2 {
		t.Errorf("%d of %d seeds refused to start", n.refused, seeds)
	}
	if n := runBroken(t, "positions and offsets dropped", seeds, drop(true), powerLoss); n.dup < seeds/2 {
		t.Errorf("%d of %d seeds had duplicates", n.dup, seeds)
	}
}

// forgetfulLog leaves position records, and if asked to group offsets of workers,
// out of transactions.
type forgetfulLog struct {
	commitlog.Log
	offsets bool
}

func (l forgetfulLog) OpenWriter(ctx context.Context, id string) (commitlog.Writer, error) {
	w, err := l.Log.OpenWriter(ctx, id)
	if err != nil || !strings.HasPrefix(id, "sim-0-") {
		return w, err
	}
	return forgetfulWriter{w, l.offsets}, nil
}

type forgetfulWriter struct {
	commitlog.Writer
	offsets bool
}

func (w forgetfulWriter) Append(tp commitlog.TopicPartition, b *recordbatch.Builder) error {
	if tp.Topic == changelog.PositionsTopic("sim") {
		return nil
	}
	return w.Writer.Append(tp, b)
}

func (w forgetfulWriter) Offsets(group string, as commitlog.Membership, at map[commitlog.TopicPartition]commitlog.GroupOffset) error {
	if w.offsets {
		return nil
	}
	return w.Writer.Offsets(group, as, at)
}

// A store batch that is applied before the log's transaction must be found: after
// a crash between the two the records are counted again on top of it.
func TestControlStoreBeforeLog(t *testing.T) {
	const seeds = 60
	n := runBroken(t, "store before log", seeds, func() faults {
		hasty := &hasty{pending: map[*earlyBatch]bool{}}
		return faults{log: hasty.log, engine: hasty.engine}
	}, powerLoss)
	if n.wrong < seeds/10 {
		t.Errorf("%d of %d seeds had a wrong value", n.wrong, seeds)
	}
}

// hasty applies to the stores, durably, what a commit is about to write to the
// log.
type hasty struct{ pending map[*earlyBatch]bool }

func (h *hasty) log(l commitlog.Log) commitlog.Log            { return hastyLog{l, h} }
func (h *hasty) engine(e state.Engine) state.Engine           { return hastyEngine{e, h} }
func (l hastyLog) writer(w commitlog.Writer) commitlog.Writer { return hastyWriter{w, l.hasty} }
func (w hastyWriter) early() error {
	for b := range w.hasty.pending {
		if err := b.applyEarly(); err != nil {
			return err
		}
	}
	return nil
}

type hastyLog struct {
	commitlog.Log
	hasty *hasty
}

func (l hastyLog) OpenWriter(ctx context.Context, id string) (commitlog.Writer, error) {
	w, err := l.Log.OpenWriter(ctx, id)
	if err != nil || !strings.HasPrefix(id, "sim-0-") {
		return w, err
	}
	return l.writer(w), nil
}

type hastyWriter struct {
	commitlog.Writer
	hasty *hasty
}

func (w hastyWriter) Commit(ctx context.Context) (map[commitlog.TopicPartition]commitlog.Range, error) {
	if err := w.early(); err != nil {
		return nil, err
	}
	return w.Writer.Commit(ctx)
}

type hastyEngine struct {
	state.Engine
	hasty *hasty
}

func (e hastyEngine) NewBatch() state.Batch {
	b := &earlyBatch{Batch: e.Engine.NewBatch(), engine: e}
	e.hasty.pending[b] = true
	return b
}

func (e hastyEngine) Apply(b state.Batch) error {
	early := b.(*earlyBatch)
	delete(e.hasty.pending, early)
	return e.Engine.Apply(early.Batch)
}

// earlyBatch remembers its writes, so that they can be done twice.
type earlyBatch struct {
	state.Batch
	engine hastyEngine
	writes []func(state.Batch) error
}

func (b *earlyBatch) write(w func(state.Batch) error) error {
	b.writes = append(b.writes, w)
	return w(b.Batch)
}

func (b *earlyBatch) Set(key, value []byte) error {
	key, value = bytes.Clone(key), bytes.Clone(value)
	return b.write(func(to state.Batch) error { return to.Set(key, value) })
}

func (b *earlyBatch) Delete(key []byte) error {
	key = bytes.Clone(key)
	return b.write(func(to state.Batch) error { return to.Delete(key) })
}

func (b *earlyBatch) DeleteRange(lower, upper []byte) error {
	lower, upper = bytes.Clone(lower), bytes.Clone(upper)
	return b.write(func(to state.Batch) error { return to.DeleteRange(lower, upper) })
}

func (b *earlyBatch) Close() error {
	delete(b.engine.hasty.pending, b)
	return b.Batch.Close()
}

func (b *earlyBatch) applyEarly() error {
	again := b.engine.Engine.NewBatch()
	for _, w := range b.writes {
		if err := w(again); err != nil {
			return err
		}
	}
	if err := b.engine.Engine.Apply(again); err != nil {
		return err
	}
	return b.engine.Engine.Flush()
}
