package pebbledb

import (
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Metrics counts what happened since Open. Counters stay readable on a dead or
// closed store; the fields under "now" are zero then.
type Metrics struct {
	Dead             bool
	BackgroundErrors int64         // failed flushes and compactions; they are retried
	Corruptions      int64         // damaged tables found
	DiskSlow         int64         // disk writes longer than Options.DiskSlowAfter
	LowDiskSpace     int64         // reports of a nearly full disk
	WriteStalls      int64         // waits of Apply for flushes or compactions
	WriteStalled     time.Duration // their sum; a stall that lasts is not in it yet
	Flushes          int64
	Compactions      int64

	// now
	DiskBytes     uint64 // tables and the rest
	MemTableBytes uint64
	Tables        int64
	L0Sublevels   int64 // reads look into each
	BytesFlushed  uint64
	BytesWritten  uint64 // flushed and compacted
}

type counters struct {
	backgroundErrors, corruptions, diskSlow, lowDiskSpace atomic.Int64
	writeStalls, writeStalled, stallStart                 atomic.Int64
	flushes, compactions                                  atomic.Int64
	backgroundLog, eventLog                               limiter
}

// events wires Pebble's events. Most come with Pebble's locks held, so they
// count, and log at most a few lines.
func (d *DB) events() *pebble.EventListener {
	c := &d.counters
	return &pebble.EventListener{
		BackgroundError: d.onBackgroundError,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			// It may come on a reader in the middle of loading a file, which
			// others wait for: mark only, and let the error return.
			c.corruptions.Add(1)
			d.markDead(info.Details)
		},
		LowDiskSpace: func(info pebble.LowDiskSpaceInfo) {
			c.lowDiskSpace.Add(1)
			d.log(&c.eventLog, slog.LevelWarn, "disk space is low: free some, or the store dies", "available", info.AvailBytes, "total", info.TotalBytes)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			c.writeStalls.Add(1)
			c.stallStart.Store(d.opts.Now().UnixNano())
			d.log(&c.eventLog, slog.LevelWarn, "store writes wait", "reason", info.Reason)
		},
		WriteStallEnd: func() {
			c.writeStalled.Add(d.opts.Now().UnixNano() - c.stallStart.Load())
		},
		FlushEnd: func(info pebble.FlushInfo) {
			if info.Err == nil {
				c.flushes.Add(1)
			}
		},
		CompactionEnd: func(info pebble.CompactionInfo) {
			if info.Err == nil {
				c.compactions.Add(1)
			}
		},
	}
}

// onBackgroundError hears of failed flushes and compactions. Pebble retries them
// with a new file, which is sound, at once and for ever, which on a dead store
// would burn a core until the process ends: there its goroutine is ended.
func (d *DB) onBackgroundError(err error) {
	d.counters.backgroundErrors.Add(1)
	d.log(&d.counters.backgroundLog, slog.LevelError, "store flush or compaction failed; it is retried", "err", err.Error())
	if pebble.IsCorruptionError(err) {
		d.markDead(err)
	}
	// Both call sites that retry unlock by defer, so that readers go on.
	if d.faultErr() != nil && !callerIsOurs() {
		runtime.Goexit()
	}
}

// onDiskSlow must not wait for any I/O, a log's included: its goroutine is the
// one that watches the disk.
func (d *DB) onDiskSlow(path, op string, took time.Duration) {
	d.counters.diskSlow.Add(1)
	go d.log(&d.counters.eventLog, slog.LevelWarn, "disk is slow", "path", path, "op", op, "took", took)
}

// Metrics returns the counters and what Pebble holds now.
func (d *DB) Metrics() Metrics {
	c := &d.counters
	m := Metrics{
		Dead:             d.faultErr() != nil,
		BackgroundErrors: c.backgroundErrors.Load(),
		Corruptions:      c.corruptions.Load(),
		DiskSlow:         c.diskSlow.Load(),
		LowDiskSpace:     c.lowDiskSpace.Load(),
		WriteStalls:      c.writeStalls.Load(),
		WriteStalled:     time.Duration(c.writeStalled.Load()),
		Flushes:          c.flushes.Load(),
		Compactions:      c.compactions.Load(),
	}
	if d.enter() != nil {
		return m
	}
	defer d.gate.leave()
	var p *pebble.Metrics
	measured := make(chan *pebble.Metrics, 1)
	if d.detached("metrics", func() error { measured <- d.pebble.Metrics(); return nil }) != nil {
		return m
	}
	p = <-measured
	total := p.Total()
	m.DiskBytes, m.MemTableBytes = p.DiskSpaceUsage(), p.MemTable.Size
	m.Tables, m.L0Sublevels = total.TablesCount, int64(p.Levels[0].Sublevels)
	m.BytesFlushed = p.Levels[0].TableBytesFlushed
	for _, level := range p.Levels {
		m.BytesWritten += level.TableBytesFlushed + level.TableBytesCompacted
	}
	return m
}
