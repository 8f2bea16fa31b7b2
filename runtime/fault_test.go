package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/runtime"
)

// brokenLog lets the commits of workers fail as fail says; nil is no failure.
// after means that the transaction is committed nevertheless.
type brokenLog struct {
	*embedded.Log
	fail  atomic.Pointer[error]
	after bool
	tries atomic.Int64
}

type brokenWriter struct {
	commitlog.Writer
	log *brokenLog
}

func newBrokenLog(t *testing.T) *brokenLog {
	l, err := embedded.Open(embedded.Options{FS: vfs.NewMem(), Dir: "log"})
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return &brokenLog{Log: l}
}

func (l *brokenLog) OpenWriter(ctx context.Context, id string) (commitlog.Writer, error) {
	w, err := l.Log.OpenWriter(ctx, id)
	if err != nil || !strings.HasPrefix(id, "counting-0-") {
		return w, err
	}
	return &brokenWriter{w, l}, nil
}

func (w *brokenWriter) Commit(ctx context.Context) (map[commitlog.TopicPartition]commitlog.Range, error) {
	failed := w.log.fail.Load()
	if failed == nil {
		return w.Writer.Commit(ctx)
	}
	w.log.tries.Add(1)
	if w.log.after {
		if _, err := w.Writer.Commit(ctx); err != nil {
			return nil, err
		}
	}
	return nil, *failed
}

// A full disk stops nothing but commits, and those only until there is room.
func TestLowSpaceIsWaitedFor(t *testing.T) {
	log := newBrokenLog(t)
	app, _ := start(t, countInto(orderCount), runtime.Config{Dir: "data", FS: vfs.NewMem(), Log: log, CommitInterval: time.Millisecond})
	importOrders(t, app, 9)
	wantCounts(t, app, 9)
	full := fmt.Errorf("commit: %w", commitlog.ErrLowSpace)
	log.fail.Store(&full)
	importOrders(t, app, 9)
	for log.tries.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if !app.Health().Live || sumCounts(t, app) != 9 {
		t.Error("while the disk is full, what is committed has to be served")
	}
	log.fail.Store(nil)
	wantCounts(t, app, 18)
}

// A stop does not wait for space.
func TestStopWhileDiskIsFull(t *testing.T) {
	log := newBrokenLog(t)
	top, err := countInto(orderCount)()
	must(t, err)
	cfg := runtime.Config{Dir: "data", FS: vfs.NewMem(), Log: log, CommitInterval: time.Millisecond}
	app, err := runtime.New(t.Context(), top, cfg)
	must(t, err)
	full := fmt.Errorf("commit: %w", commitlog.ErrLowSpace)
	log.fail.Store(&full)
	importOrders(t, app, 9)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	for log.tries.Load() < 1 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	log.fail.Store(nil)
	app, _ = start(t, countInto(orderCount), cfg)
	wantCounts(t, app, 9)
}

// After a commit of unknown outcome an App starts over with new writers and finds
// out from the log. Whether it was durable or not, nothing is lost or repeated.
func TestUnknownOutcome(t *testing.T) {
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprintf("durable=%v", durable), func(t *testing.T) {
			log := newBrokenLog(t)
			cfg := runtime.Config{Dir: "data", FS: vfs.NewMem(), Log: log, CommitInterval: time.Millisecond}
			app, _ := start(t, countInto(orderCount), cfg)
			importOrders(t, app, 9)
			wantCounts(t, app, 9)

			unknown := fmt.Errorf("sync: %w", commitlog.ErrUnknownOutcome)
			log.after = durable
			log.fail.Store(&unknown)
			importOrders(t, app, 9)
			for log.tries.Load() < 1 {
				time.Sleep(time.Millisecond)
			}
			log.fail.Store(nil)
			wantCounts(t, app, 18)
			scrape(t, app).want(t, 200, `tidemill_restarts_total{reason="unknown-outcome"}`)
		})
	}
}

func scrape(t *testing.T, app *runtime.App) answer {
	t.Helper()
	w := httptest.NewRecorder()
	app.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/metrics", nil))
	return answer{w.Code, w.Body.String()}
}

// If that does not help for GiveUp the App ends with an error that says so, and the
// next start goes on at the last commit.
func TestUnknownOutcomeForEver(t *testing.T) {
	log := newBrokenLog(t)
	cfg := runtime.Config{Dir: "data", FS: vfs.NewMem(), Log: log, CommitInterval: time.Millisecond, GiveUp: 100 * time.Millisecond}
	app := newApp(t, countInto(orderCount), cfg)
	importOrders(t, app, 9)
	unknown := fmt.Errorf("sync: %w", commitlog.ErrUnknownOutcome)
	log.fail.Store(&unknown)
	err := app.Run(t.Context())
	if !errors.Is(err, commitlog.ErrUnknownOutcome) || !strings.Contains(err.Error(), "counting-0-0") || !strings.Contains(err.Error(), "100ms") {
		t.Fatalf("Run: %v; want the unknown outcome, the worker and the time", err)
	}
	if err := app.WaitProcessed(t.Context()); !errors.Is(err, runtime.ErrNotRunning) {
		t.Errorf("WaitProcessed of a stopped App: %v", err)
	}
	log.fail.Store(nil)
	app, _ = start(t, countInto(orderCount), cfg)
	wantCounts(t, app, 9)
}

// Of two Apps with the same identity the later one goes on, and the earlier one
// stops at its next commit.
func TestFenced(t *testing.T) {
	log := newBrokenLog(t)
	first := newApp(t, countInto(orderCount), runtime.Config{Dir: "first", FS: vfs.NewMem(), Log: log, CommitInterval: time.Millisecond})
	ended := make(chan error, 1)
	go func() { ended <- first.Run(t.Context()) }()
	importOrders(t, first, 9)
	wantCounts(t, first, 9)

	second, _ := start(t, countInto(orderCount), runtime.Config{Dir: "second", FS: vfs.NewMem(), Log: log, CommitInterval: time.Millisecond})
	must(t, second.WaitReady(t.Context()))
	importOrders(t, second, 9)
	if err := <-ended; !errors.Is(err, commitlog.ErrFenced) || !strings.Contains(err.Error(), "counting-0-0") {
		t.Errorf("Run of the first: %v; want that it is fenced, and which writer", err)
	}
	wantCounts(t, second, 18)
	if first.Health().Ready {
		t.Error("a stopped App calls itself ready")
	}
}

// A directory that another App holds is an error that names it.
func TestDirInUse(t *testing.T) {
	fs, log := vfs.NewMem(), newBrokenLog(t)
	start(t, countInto(orderCount), runtime.Config{Dir: "data", FS: fs, Log: log})
	_, err := tryApp(t, countInto(orderCount), runtime.Config{Dir: "data", FS: fs, Log: log, Instance: "1"})
	if err == nil || !strings.Contains(err.Error(), "directory data is in use") {
		t.Errorf("New on a directory in use: %v", err)
	}
}
