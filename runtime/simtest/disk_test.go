package simtest

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// power is the power supply of one life of a node. It fails at one of the writes
// and syncs that the node asks its disk for, whoever asks: the disk is cloned as
// it would be found then, and what the old node goes on to do is lost on it.
type power struct {
	disk    *vfs.MemFS
	percent int // of what is not synced that survives
	rng     *rand.Rand
	in      atomic.Int64 // writes and syncs until the failure
	acked   atomic.Int64 // source records that the producer knows to be durable

	once      sync.Once
	failed    atomic.Bool
	clone     *vfs.MemFS
	ackedThen int64
	onFail    func()
}

func newPower(disk *vfs.MemFS, rng *rand.Rand, within int64) *power {
	p := &power{disk: disk, percent: rng.IntN(101), rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
	p.in.Store(1 + rng.Int64N(within))
	return p
}

// MaybeError implements errorfs.Injector. It never injects an error.
func (p *power) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && p.in.Add(-1) == 0 {
		p.fail()
	}
	return nil
}

func (p *power) String() string { return "power" }

func (p *power) fail() {
	p.once.Do(func() {
		// What is acknowledged from here on may or may not be on the clone.
		p.ackedThen = p.acked.Load()
		p.clone = p.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: p.percent, RNG: p.rng})
		p.failed.Store(true)
		if p.onFail != nil {
			p.onFail()
		}
	})
}

// lazyFS claims to sync and does not, from when a node has been opened: what
// makes a directory a log is synced, or nothing could be opened again.
type lazyFS struct {
	vfs.FS
	lazy *atomic.Bool
}

type lazyFile struct {
	vfs.File
	lazy *atomic.Bool
}

func (f lazyFile) Sync() error {
	if f.lazy.Load() {
		return nil
	}
	return f.File.Sync()
}

func (f lazyFile) SyncData() error {
	if f.lazy.Load() {
		return nil
	}
	return f.File.SyncData()
}

func (f lazyFile) SyncTo(length int64) (fullSync bool, err error) {
	if f.lazy.Load() {
		return false, nil
	}
	return f.File.SyncTo(length)
}

func (l lazyFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return f, err
	}
	return lazyFile{f, l.lazy}, nil
}

func (l lazyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return l.wrap(l.FS.Create(name, c))
}

func (l lazyFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return l.wrap(l.FS.OpenReadWrite(name, c, o...))
}

func (l lazyFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return l.wrap(l.FS.ReuseForWrite(from, to, c))
}

func (l lazyFS) OpenDir(name string) (vfs.File, error) { return l.wrap(l.FS.OpenDir(name)) }
