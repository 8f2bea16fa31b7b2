package simtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime"
)

// The same with the whole App, its goroutines, timers and default sizes.
func TestPowerLossApp(t *testing.T) { testPowerLoss(t, 50, powerLossApp) }

func TestControlAppNoSyncs(t *testing.T) {
	const seeds = 20
	if n := runBroken(t, "App, no syncs", seeds, noSyncs, powerLossApp); n.lost == 0 {
		t.Errorf("none of %d seeds lost anything", seeds)
	}
}

func powerLossApp(seed uint64, f faults) (verdict, error) {
	r, err := newRun(seed, 300, f)
	if err != nil {
		return r.verdict, err
	}
	for life := range 2 + r.rng.IntN(2) {
		if err := r.appLife(); err != nil {
			return r.verdict, fmt.Errorf("life %d: %w", life, err)
		}
	}
	err = r.appFinish()
	return r.verdict, err
}

func (r *run) appConfig() runtime.Config {
	return runtime.Config{
		Dir: "node", Workers: 1 + r.rng.IntN(2), CommitInterval: time.Duration(1+r.rng.IntN(4)) * time.Millisecond,
		FlushInterval: time.Duration(1+r.rng.IntN(20)) * time.Millisecond, CacheBytes: []int{1, 1 << 20}[r.rng.IntN(2)],
		BufferBytes: 1 << 10, Logger: quiet,
	}
}

// appLife runs an App and an import beside it until the power fails. What the old
// App does from then on is lost, but it has a disk that works, and may not fail.
func (r *run) appLife() error {
	p := newPower(r.disk, r.rng, 800)
	p.acked.Store(r.acked)
	dead, die := context.WithCancel(ctx)
	defer die()
	p.onFail = die
	cfg := r.appConfig()
	cfg.FS = errorfs.Wrap(r.faults.wrapFS(r.disk), p)
	app, err := runtime.New(ctx, r.top, cfg)
	if err == nil {
		r.faults.syncs(false)
		importer := make(chan error, 1)
		rng := rand.New(rand.NewPCG(r.rng.Uint64(), 0))
		go func() { importer <- r.importAll(dead, app, p, rng) }()
		err = app.Run(dead)
		imported := <-importer
		r.faults.syncs(true)
		if dead.Err() == nil || !errors.Is(imported, commitlog.ErrClosed) {
			err = errors.Join(err, imported)
		}
	}
	p.fail() // if the App could not even start
	r.disk, r.acked = p.clone, p.ackedThen
	return err
}

// importAll imports the rest of the source, and then goes on with empty commits,
// until its time is over.
func (r *run) importAll(dead context.Context, app *runtime.App, p *power, rng *rand.Rand) error {
	producer, err := r.producer(app, p)
	if err != nil {
		return err
	}
	defer producer.Close()
	pause := time.NewTicker(200 * time.Microsecond)
	defer pause.Stop()
	for i := 0; i < 40 && dead.Err() == nil; i++ {
		if err := r.send(producer, p, 1+rng.IntN(12)); err != nil {
			return err
		}
		select {
		case <-pause.C:
		case <-dead.Done():
		}
	}
	r.count(p)
	return nil
}

func (r *run) appFinish() error {
	cfg := r.appConfig()
	cfg.FS = r.faults.wrapFS(r.disk)
	app, err := runtime.New(ctx, r.top, cfg)
	if err != nil {
		return fmt.Errorf("open after the last crash: %w", err)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- app.Run(running) }()
	err = r.appCheck(app)
	stop()
	return errors.Join(err, <-ended)
}

func (r *run) appCheck(app *runtime.App) error {
	p := &power{}
	producer, err := r.producer(app, p)
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := r.send(producer, p, len(r.source)); err != nil {
		return err
	}
	r.verdict.acked = len(r.source)
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := app.WaitProcessed(bounded); err != nil {
		return fmt.Errorf("wait for the rest: %w", err)
	}
	return check(app, r.source, r.windows, &r.verdict)
}
