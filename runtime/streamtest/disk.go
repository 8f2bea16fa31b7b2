package streamtest

import (
	"errors"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
	"github.com/tidemill/tidemill/state/pebbledb"
)

// disk is where the stores of all tasks are.
type disk interface {
	open(task string) (state.Engine, error)
	drop(task string) error
	// engine is the store of a task as it was opened last.
	engine(task string) state.Engine
	// flush makes everything applied durable.
	flush() error
	// crash decides what the stores that are opened from now on find: it is called
	// before those that are open now are killed.
	crash(percent int, seed uint64)
	close()
}

func newDisk(e Engine, cfg Config) disk {
	if e == Pebble {
		return &pebbleDisk{
			cfg: cfg, fs: vfs.NewCrashableMem(), engines: map[string]state.Engine{},
			shared: pebbledb.NewShared(pebbledb.Budget{CacheBytes: 1 << 20, MemTableBytes: 1 << 20}),
		}
	}
	return memoryDisk{}
}

// memoryDisk forgets everything in a crash.
type memoryDisk map[string]state.Engine

func (m memoryDisk) open(task string) (state.Engine, error) {
	m[task] = memdb.New()
	return m[task], nil
}

func (m memoryDisk) drop(string) error               { return nil }
func (m memoryDisk) engine(task string) state.Engine { return m[task] }
func (m memoryDisk) flush() error                    { return nil }
func (m memoryDisk) crash(int, uint64)               {}
func (m memoryDisk) close()                          {}

// pebbleDisk keeps the stores on a file system in memory that knows what has been
// synced.
type pebbleDisk struct {
	cfg     Config
	fs      *vfs.MemFS
	shared  *pebbledb.Shared
	engines map[string]state.Engine
}

// killable is a Pebble store that dies without a trace: the crash has taken the
// picture of the disk already, so what closing it still writes is lost.
type killable struct{ *pebbledb.DB }

// Kill implements what the worker looks for.
func (k killable) Kill() error { return k.Close() }

func directory(task string) string { return "/state/" + task }

func (p *pebbleDisk) open(task string) (state.Engine, error) {
	db, err := pebbledb.Open(pebbledb.Options{
		FS: p.fs, Dir: directory(task), Shared: p.shared, MemTableBytes: 256 << 10,
		DiskSlowAfter: -1, Logger: p.cfg.Logger, Now: epoch,
	})
	if err != nil {
		return nil, err
	}
	p.engines[task] = killable{db}
	return p.engines[task], nil
}

func (p *pebbleDisk) drop(task string) error { return pebbledb.Destroy(p.fs, directory(task)) }

func (p *pebbleDisk) engine(task string) state.Engine { return p.engines[task] }

func (p *pebbleDisk) flush() (err error) {
	for _, e := range p.engines {
		err = errors.Join(err, e.Flush())
	}
	return err
}

func (p *pebbleDisk) crash(percent int, seed uint64) {
	p.fs = p.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 0))})
}

func (p *pebbleDisk) close() { p.shared.Close() }
