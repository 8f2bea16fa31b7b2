package commitlogtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/commitlogtest"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// faults are what a control breaks in a good log. Each function may be nil.
type faults struct {
	identity func(id string) string
	writer   func(w commitlog.Writer) commitlog.Writer
	reader   func(r commitlog.Reader) commitlog.Reader
	group    func(cfg commitlog.GroupConfig) commitlog.GroupConfig
	member   func(m commitlog.Member) commitlog.Member
}

type faultyLog struct {
	commitlog.Log
	faults faults
}

func (l *faultyLog) OpenWriter(ctx context.Context, id string) (commitlog.Writer, error) {
	if l.faults.identity != nil {
		id = l.faults.identity(id)
	}
	w, err := l.Log.OpenWriter(ctx, id)
	if err == nil && l.faults.writer != nil {
		w = l.faults.writer(w)
	}
	return w, err
}

func (l *faultyLog) NewReader(o commitlog.ReaderOptions) (commitlog.Reader, error) {
	r, err := l.Log.NewReader(o)
	if err == nil && l.faults.reader != nil {
		r = l.faults.reader(r)
	}
	return r, err
}

func (l *faultyLog) OpenMember(ctx context.Context, cfg commitlog.GroupConfig) (commitlog.Member, error) {
	if l.faults.group != nil {
		cfg = l.faults.group(cfg)
	}
	m, err := l.Log.OpenMember(ctx, cfg)
	if err == nil && l.faults.member != nil {
		m = l.faults.member(m)
	}
	return m, err
}

// losesCommits acknowledges every third commit without committing it.
type losesCommits struct {
	commitlog.Writer
	n int
}

func (w *losesCommits) Commit(ctx context.Context) (map[commitlog.TopicPartition]commitlog.Range, error) {
	if w.n++; w.n%3 == 0 {
		return map[commitlog.TopicPartition]commitlog.Range{}, w.Abort()
	}
	return w.Writer.Commit(ctx)
}

// leaksAborted commits what is aborted.
type leaksAborted struct{ commitlog.Writer }

func (w *leaksAborted) Abort() error {
	_, _ = w.Commit(context.Background())
	return w.Writer.Abort()
}

// tearsTransactions commits after every append.
type tearsTransactions struct{ commitlog.Writer }

func (w *tearsTransactions) Append(tp commitlog.TopicPartition, b *recordbatch.Builder) error {
	if err := w.Writer.Append(tp, b); err != nil {
		return err
	}
	if _, err := w.Commit(context.Background()); err != nil {
		return err
	}
	return w.Begin()
}

// lies about the offsets of exclusive appends.
type liesAboutOffsets struct{ commitlog.Writer }

func (w *liesAboutOffsets) AppendExclusive(tp commitlog.TopicPartition, b *recordbatch.Builder) (int64, error) {
	base, err := w.Writer.AppendExclusive(tp, b)
	return base + 1, err
}

// reusesBuffers hands out batches that the next Poll overwrites.
type reusesBuffers struct {
	commitlog.Reader
	buffer []byte
}

func (r *reusesBuffers) Poll(ctx context.Context) ([]commitlog.Fetched, error) {
	fetched, err := r.Reader.Poll(ctx)
	clear(r.buffer)
	r.buffer = r.buffer[:0]
	for _, f := range fetched {
		for i := range f.Batches {
			start := len(r.buffer)
			r.buffer = append(r.buffer, f.Batches[i].Raw...)
			f.Batches[i].Raw = r.buffer[start:len(r.buffer):len(r.buffer)]
		}
	}
	return fetched, err
}

// trustsAnybody commits group offsets without looking at the membership.
type trustsAnybody struct{ commitlog.Writer }

func (w trustsAnybody) Offsets(group string, _ commitlog.Membership, at map[commitlog.TopicPartition]commitlog.GroupOffset) error {
	return w.Writer.Offsets(group, commitlog.Membership{}, at)
}

// dropsStale takes the refusal of an old generation for the end of the transaction.
type dropsStale struct{ commitlog.Writer }

func (w dropsStale) Commit(ctx context.Context) (map[commitlog.TopicPartition]commitlog.Range, error) {
	ranges, err := w.Writer.Commit(ctx)
	if errors.Is(err, commitlog.ErrStaleGeneration) {
		err = errors.Join(err, w.Abort())
	}
	return ranges, err
}

// forgetsClaims hides from the leader what the members said.
type forgetsClaims struct{ commitlog.Member }

func (m forgetsClaims) Join(ctx context.Context, metadata []byte, plan commitlog.PlanFunc) (commitlog.Generation, error) {
	return m.Member.Join(ctx, metadata, func(members []commitlog.MemberInfo) (map[string][]byte, error) {
		for i := range members {
			members[i].Metadata = nil
		}
		return plan(members)
	})
}

// neverTells does not say that the group changes.
type neverTells struct{ commitlog.Member }

func (neverTells) Changed() <-chan struct{} { return nil }

// staysOnLeave leaves it to the session timeout.
type staysOnLeave struct{ commitlog.Member }

func (m staysOnLeave) Leave(context.Context) error { return m.Close() }

// groupFault bounds cases that wait for what never comes.
func groupFault(f faults) commitlogtest.Harness {
	h := harness(f, false)
	h.Timeout = time.Second
	return h
}

func memberFault(wrap func(m commitlog.Member) commitlog.Member) commitlogtest.Harness {
	return groupFault(faults{member: wrap})
}

func withoutInstance(cfg commitlog.GroupConfig) commitlog.GroupConfig {
	cfg.Instance = ""
	return cfg
}

func withoutSession(cfg commitlog.GroupConfig) commitlog.GroupConfig {
	cfg.SessionTimeout = 1
	return cfg
}

func harness(f faults, loseOnReopen bool) commitlogtest.Harness {
	disks := map[commitlog.Log]vfs.FS{}
	open := func(fs vfs.FS) (commitlog.Log, error) {
		l, err := embedded.Open(embedded.Options{FS: fs, Dir: "log"})
		if err != nil {
			return nil, err
		}
		faulty := &faultyLog{Log: l, faults: f}
		disks[faulty] = fs
		return faulty, nil
	}
	return commitlogtest.Harness{
		Missing: []commitlogtest.Feature{commitlogtest.FeatureCompaction, commitlogtest.FeatureRetention,
			commitlogtest.FeatureTrim, commitlogtest.FeatureServerRestart},
		Open: func() (commitlog.Log, error) { return open(vfs.NewMem()) },
		Reopen: func(l commitlog.Log, _ bool) (commitlog.Log, error) {
			fs := disks[l]
			if err := l.Close(); err != nil {
				return nil, err
			}
			if loseOnReopen {
				fs = vfs.NewMem()
			}
			return open(fs)
		},
	}
}

// TestControls breaks a good log on purpose; the kit must say so.
func TestControls(t *testing.T) {
	var opened atomic.Int64
	controls := map[string]struct {
		harness commitlogtest.Harness
		report  []string // cases that must fail
	}{
		"loses commits": {harness(faults{writer: func(w commitlog.Writer) commitlog.Writer { return &losesCommits{Writer: w} }}, false),
			[]string{"append/order and ranges", "concurrency/writers", "durability/reopen"}},
		"leaks aborted data": {harness(faults{writer: func(w commitlog.Writer) commitlog.Writer { return &leaksAborted{w} }}, false),
			[]string{"transactions/abort", "concurrency/writers"}},
		"does not fence": {harness(faults{identity: func(id string) string { return fmt.Sprint(id, opened.Add(1)) }}, false),
			[]string{"fencing/zombie", "fencing/take-over aborts", "fencing/epochs grow"}},
		"tears transactions": {harness(faults{writer: func(w commitlog.Writer) commitlog.Writer { return &tearsTransactions{w} }}, false),
			[]string{"transactions/atomic", "transactions/invisible until commit", "transactions/abort"}},
		"lies about offsets": {harness(faults{writer: func(w commitlog.Writer) commitlog.Writer { return &liesAboutOffsets{w} }}, false),
			[]string{"exclusive/claimed offset is the real one", "exclusive/take-over"}},
		"reuses buffers": {harness(faults{reader: func(r commitlog.Reader) commitlog.Reader { return &reusesBuffers{Reader: r} }}, false),
			[]string{"reader/batches are immutable"}},
		"ignores the membership of commits": {harness(faults{writer: func(w commitlog.Writer) commitlog.Writer { return trustsAnybody{w} }}, false),
			[]string{"groups/commit between join and sync", "groups/silent member", "groups/replaced instance", "groups/leave", "groups/strangers"}},
		"aborts for an old generation": {harness(faults{writer: func(w commitlog.Writer) commitlog.Writer { return dropsStale{w} }}, false),
			[]string{"groups/commit between join and sync"}},
		"forgets the owners' metadata": {memberFault(func(m commitlog.Member) commitlog.Member { return forgetsClaims{m} }),
			[]string{"groups/alone", "groups/metadata and assignments", "groups/hand-over"}},
		"never tells of a rebalance": {memberFault(func(m commitlog.Member) commitlog.Member { return neverTells{m} }),
			[]string{"groups/hand-over", "groups/leave", "groups/silent member"}},
		"has no static members": {groupFault(faults{group: withoutInstance}),
			[]string{"groups/static restart", "groups/static metadata", "groups/replaced instance"}},
		"does not wait for silent members": {groupFault(faults{group: withoutSession}),
			[]string{"groups/silent member"}},
		"ends a membership by its timeout only": {memberFault(func(m commitlog.Member) commitlog.Member { return staysOnLeave{m} }), []string{"groups/leave"}},
		"forgets on reopening":                  {harness(faults{}, true), []string{"durability/reopen", "durability/crash"}},
	}
	for name, control := range controls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range commitlogtest.Cases() {
				if !slices.Contains(control.report, c.Name) {
					continue
				}
				if err := commitlogtest.Check(control.harness, c); err == nil {
					t.Errorf("a log that %s passes %q", name, c.Name)
				}
			}
		})
	}
	t.Run("sound", func(t *testing.T) { commitlogtest.Run(t, harness(faults{}, false)) })
}
