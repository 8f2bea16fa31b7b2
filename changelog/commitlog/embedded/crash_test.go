package embedded

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// crasher clones the disk at one of the calls that the log makes, so that a
// crash hits any step of a commit, a rotation or a recovery.
type crasher struct {
	disk    *vfs.MemFS
	model   *model
	rng     *rand.Rand
	percent int
	in      atomic.Int64 // calls until the crash; negative: not armed

	once    sync.Once
	crashed atomic.Bool
	clone   *vfs.MemFS
	seen    *model // what was acknowledged before and begun until the crash
}

func (c *crasher) MaybeError(errorfs.Op) error {
	if c.in.Add(-1) == 0 {
		c.crash()
	}
	return nil
}

func (c *crasher) String() string { return "crasher" }

func (c *crasher) crash() {
	c.once.Do(func() {
		before := c.model.snapshot()
		c.clone = c.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.percent, RNG: c.rng})
		before.merge(c.model.snapshot())
		c.seen = before
		c.crashed.Store(true)
	})
}

// randomOptions are small, so that rotation, parts, rolling and eviction happen
// within some tens of transactions.
func randomOptions(rng *rand.Rand, fs vfs.FS) Options {
	return Options{FS: fs, Dir: "node/log", Logger: quiet,
		JournalBytes: 2<<10 + rng.Int64N(30<<10), SegmentBytes: 1<<10 + rng.Int64N(8<<10),
		TailBytes: 1<<10 + rng.Int64N(16<<10), PartBytes: 256 + rng.IntN(4<<10)}
}

// powerLoss runs one seed: up to three lives of one disk, each ended by a crash,
// each checked by the next. wrap puts a fault between log and disk.
func powerLoss(seed uint64, wrap func(vfs.FS) vfs.FS) (total verdict, err error) {
	rng := rand.New(rand.NewPCG(seed, 2))
	disk, m := vfs.NewCrashableMem(), newModel()
	for life := range 1 + rng.IntN(3) {
		c := &crasher{disk: disk, model: m, percent: rng.IntN(101), rng: rand.New(rand.NewPCG(seed, uint64(100+life)))}
		c.in.Store(1 + rng.Int64N(400))
		if err := liveAndCrash(c, rng, wrap, &total); err != nil {
			return total, fmt.Errorf("life %d: %w", life, err)
		}
		disk, m = c.clone, c.seen
	}
	l, err := Open(randomOptions(rng, wrap(disk)))
	if err != nil {
		return total, fmt.Errorf("open after the last crash: %w", err)
	}
	v, err := m.check(l)
	if err == nil {
		err = m.checkEpochs(l, &v)
	}
	total.add(v)
	return total, errors.Join(err, l.Close())
}

func liveAndCrash(c *crasher, rng *rand.Rand, wrap func(vfs.FS) vfs.FS, total *verdict) error {
	l, err := Open(randomOptions(rng, errorfs.Wrap(wrap(c.disk), c)))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if !c.crashed.Load() { // else the crash came while opening, and the next life checks
		v, err := c.model.check(l)
		total.add(v)
		if err != nil {
			return errors.Join(err, l.Close())
		}
	}
	err = l.CreateTopic(ctx, commitlog.TopicConfig{Name: "a", Partitions: modelPartitions})
	if err == nil && !c.crashed.Load() {
		c.model.mu.Lock()
		c.model.topics["a"] = true
		c.model.mu.Unlock()
	}
	errs := make([]error, 1+rng.IntN(3))
	var wg sync.WaitGroup
	for n := range errs {
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		wg.Go(func() { errs[n] = c.model.run(l, fmt.Sprint("w", n), own, 25, c.crashed.Load) })
	}
	wg.Wait()
	c.crash() // if none of the calls was the one
	return errors.Join(errors.Join(errs...), err, l.Close())
}

func TestPowerLoss(t *testing.T) {
	seeds := uint64(1000)
	if long {
		seeds = 10_000
	}
	var total verdict
	for seed := range seeds {
		v, err := powerLoss(seed, func(fs vfs.FS) vfs.FS { return fs })
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if v.bad() {
			t.Fatalf("%s\n%s", v.line("power loss", seed), strings.Join(v.notes, "\n"))
		}
		total.add(v)
	}
	t.Log(total.line("power loss", fmt.Sprintf("0..%d", seeds-1)))
}

// TestPowerLossControls takes the syncs away; the test above must then fail.
func TestPowerLossControls(t *testing.T) {
	controls := map[string]func(fs vfs.FS) vfs.FS{
		"journal not synced":     func(fs vfs.FS) vfs.FS { return &lazyFS{FS: fs, lazy: "journal-"} },
		"segments not synced":    func(fs vfs.FS) vfs.FS { return &lazyFS{FS: fs, lazy: "/topics/"} },
		"directories not synced": func(fs vfs.FS) vfs.FS { return &lazyFS{FS: fs, lazyDirs: true} },
	}
	for name, wrap := range controls {
		t.Run(name, func(t *testing.T) {
			var total verdict
			failed := 0
			for seed := range uint64(100) {
				v, err := powerLoss(seed, wrap)
				if err != nil {
					failed++
				}
				total.add(v)
			}
			t.Log(total.line("power loss, "+name, "0..99"), "failed opens", failed)
			if total.lost+total.wrong+failed == 0 {
				t.Error("nothing was lost without syncing: the test proves nothing")
			}
		})
	}
}

// lazyFS claims to sync files whose path contains lazy, or directories.
type lazyFS struct {
	vfs.FS
	lazy     string
	lazyDirs bool
}

type lazyFile struct{ vfs.File }

func (lazyFile) Sync() error     { return nil }
func (lazyFile) SyncData() error { return nil }

func (l *lazyFS) wrap(path string, f vfs.File, err error) (vfs.File, error) {
	if err == nil && l.lazy != "" && strings.Contains(path, l.lazy) {
		return lazyFile{f}, nil
	}
	return f, err
}

func (l *lazyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := l.FS.Create(name, c)
	return l.wrap(name, f, err)
}

func (l *lazyFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := l.FS.OpenReadWrite(name, c, o...)
	return l.wrap(name, f, err)
}

func (l *lazyFS) OpenDir(name string) (vfs.File, error) {
	f, err := l.FS.OpenDir(name)
	if err == nil && l.lazyDirs {
		return lazyFile{f}, nil
	}
	return f, err
}
