package pebbledb

import (
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Defaults, measured in DESIGN.md.
const (
	DefaultMemTableBytes = 16 << 20
	DefaultStallTimeout  = time.Minute
	DefaultDiskSlowAfter = 5 * time.Second
)

// Options says where a store lives and what it may use. Dir is required.
type Options struct {
	// FS holds the store; default vfs.Default.
	FS vfs.FS
	// Dir is the store's own directory. It and its missing parents are created
	// with mode 0700. A lock file Dir+".lock" lies beside it.
	Dir string
	// Shared holds the caches that the stores of a node share. Default: caches
	// of the store's own, with the default budget, closed with it.
	Shared *Shared
	// MemTableBytes is the most an open memtable holds; default 16 MiB. Take
	// 4 MiB above about 64 stores. A store has up to two of them at rest and
	// four before writes wait.
	MemTableBytes int64
	// StallTimeout ends a write, flush, snapshot, open or close that does not
	// come back: the store is dead then. Default one minute. A full disk shows
	// as such a wait: Pebble retries for ever and reports nothing to the caller.
	StallTimeout time.Duration
	// DiskSlowAfter is how long a disk write may take before it is counted in
	// Metrics.DiskSlow; default 5 s. Negative: disks are not watched.
	DiskSlowAfter time.Duration
	// Logger gets Pebble's messages, rate-limited; default slog.Default.
	Logger *slog.Logger
	// OnFault is told, once and on a goroutine of its own, that the store died
	// and why. Rebuild it from the changelog in a new directory.
	OnFault func(error)
	// Now is the clock of log rate limits and stall times; default time.Now.
	Now func() time.Time

	// tune changes Pebble's options last; for the measurements in the tests.
	tune func(*pebble.Options)
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("pebbledb: Options.Dir is empty: give each store a directory of its own")
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = DefaultMemTableBytes
	}
	if o.MemTableBytes >= math.MaxUint32 {
		return o, errors.New("pebbledb: Options.MemTableBytes must be below 4 GiB")
	}
	if o.StallTimeout <= 0 {
		o.StallTimeout = DefaultStallTimeout
	}
	if o.DiskSlowAfter == 0 {
		o.DiskSlowAfter = DefaultDiskSlowAfter
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}

// pebbleOptions turns o, with its defaults, into Pebble's.
func (d *DB) pebbleOptions() *pebble.Options {
	p := &pebble.Options{
		FS: d.fs,
		// The changelog is the log: after a crash the store is an exact prefix.
		DisableWAL: true,
		// Unset means the oldest format: slower reads, and damage goes unseen.
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                uint64(d.opts.MemTableBytes),
		MemTableStopWritesThreshold: 4,
		// 8 rather than Pebble's 4: a commit touches the whole key range of a window,
		// so that every compaction into the base level rewrites all of it.
		L0CompactionThreshold:      8,
		L0StopWritesThreshold:      32,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		LBaseMaxBytes:              64 << 20,
		MaxOpenFiles:               d.shared.openFiles,
		Cache:                      d.shared.blocks,
		FileCache:                  d.shared.files,
		Logger:                     &logger{db: d},
		EventListener:              d.events(),
	}
	p.Experimental.FileCacheShards = 1
	// Nothing is ingested today. Should that change: a flushable ingest is lost
	// in a crash after it returned, so the option is off from the start.
	p.Experimental.DisableIngestAsFlushable = func() bool { return true }
	for i := range p.Levels {
		p.Levels[i] = pebble.LevelOptions{
			BlockSize:      8 << 10,
			IndexBlockSize: 256 << 10,
			FilterPolicy:   bloom.FilterPolicy(10),
			FilterType:     pebble.TableFilter,
			Compression:    func() *sstable.CompressionProfile { return sstable.SnappyCompression },
		}
	}
	if d.opts.tune != nil {
		d.opts.tune(p)
	}
	return p
}
