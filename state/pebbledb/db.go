// Package pebbledb is the durable state engine: one Pebble store per task,
// without a log of its own, as the changelog is its log. DESIGN.md has the
// reasons and the measurements.
package pebbledb

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/state"
)

// DB is a state.Engine on Pebble. It is safe for use from several goroutines.
//
// Any call may return an error wrapping state.ErrStoreDead: the store met a
// fault that it cannot survive, and every later call returns the same.
type DB struct {
	opts   Options
	fs     vfs.FS // opts.FS, watched
	shared *Shared
	pebble *pebble.DB
	lock   io.Closer
	watch  io.Closer // the goroutines behind fs

	gate     *gate
	health   health
	counters counters

	applied   atomic.Uint64 // Apply calls so far
	requested atomic.Uint64 // those that a flush was started for
	durable   atomic.Uint64 // those that are flushed

	open struct {
		sync.Mutex
		iterators map[*iterator]struct{}
		snapshots map[*snapshot]struct{}
	}
}

var _ state.Engine = (*DB)(nil)

// Open opens the store in opts.Dir, or creates it. A directory whose Destroy was
// cut short is removed first. It fails if the store is open, here or in another
// process.
func Open(opts Options) (*DB, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	lock, err := prepareDir(opts.FS, opts.Dir)
	if err != nil {
		return nil, err
	}
	d := &DB{opts: opts, lock: lock, shared: opts.Shared, gate: newGate()}
	d.health.dead = make(chan struct{})
	d.open.iterators = map[*iterator]struct{}{}
	d.open.snapshots = map[*snapshot]struct{}{}
	d.watchDisk()
	if d.shared == nil {
		d.shared = NewShared(Budget{MemTableBytes: 2 * opts.MemTableBytes})
	}
	options := d.pebbleOptions()
	opened := make(chan *pebble.DB, 1)
	err = d.detached("open", func() error {
		p, err := pebble.Open(opts.Dir, options)
		opened <- p
		return err
	})
	if err != nil {
		// A dead store may still be at work in its directory: it stays locked.
		if d.faultErr() == nil {
			err = errors.Join(err, d.lock.Close())
		}
		return nil, errors.Join(err, d.release())
	}
	d.pebble = <-opened
	return d, nil
}

// watchDisk wraps the file system so that slow writes are reported, and failed
// directory syncs end the store.
func (d *DB) watchDisk() {
	watched, closer := vfs.WithDiskHealthChecks(d.opts.FS, max(d.opts.DiskSlowAfter, 0), nil, func(info vfs.DiskSlowInfo) {
		d.onDiskSlow(info.Path, info.OpType.String(), info.Duration)
	})
	d.fs, d.watch = strictFS{watched, d}, closer
}

// release gives up what the store holds besides Pebble and the lock.
func (d *DB) release() error {
	if d.opts.Shared == nil {
		d.shared.Close()
	}
	return d.watch.Close()
}

// enter lets a call in, or says why not; the caller leaves the gate.
func (d *DB) enter() error {
	if !d.gate.enter() {
		return state.ErrEngineClosed
	}
	if err := d.faultErr(); err != nil {
		d.gate.leave()
		return err
	}
	return nil
}

// Get appends the value of key to dst.
func (d *DB) Get(dst, key []byte) ([]byte, bool, error) {
	if err := d.enter(); err != nil {
		return dst, false, err
	}
	defer d.gate.leave()
	return d.get(d.pebble, dst, key)
}

// get reads from the store or a snapshot of it.
func (d *DB) get(from pebble.Reader, dst, key []byte) (value []byte, ok bool, err error) {
	if value = dst; len(key) == 0 {
		return dst, false, nil // no row has an empty key, and Pebble does not expect one
	}
	defer d.endCall(&err)
	found, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, d.checked("get", err)
	}
	value = append(dst, found...)
	if err := closer.Close(); err != nil {
		return dst, false, d.checked("get", err)
	}
	return value, true, nil
}

// Iter walks the rows with lower <= key < upper as they are now; a nil upper
// means to the end. An open iterator pins tables and memtables: close it soon.
func (d *DB) Iter(lower, upper []byte, reverse bool) (state.Iterator, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.gate.leave()
	return d.newIterator(d.pebble, lower, upper, reverse)
}

// Apply makes the batch visible and releases it, also when it fails. It does
// not wait for the disk unless flushes fall behind.
func (d *DB) Apply(b state.Batch) error {
	writes, err := d.take(b)
	if err != nil {
		return err
	}
	if err := d.enter(); err != nil {
		return errors.Join(err, writes.Close())
	}
	defer d.gate.leave()
	if writes.Empty() {
		return writes.Close()
	}
	// The goroutine closes the batch: on a fault Pebble may hold on to it.
	return d.detached("apply", func() error {
		if err := writes.Commit(pebble.NoSync); err != nil {
			return err
		}
		d.applied.Add(1)
		return writes.Close()
	})
}

// FlushAsync starts a flush of everything applied so far and does not wait for
// it. Call it by time: nothing else bounds the changelog tail that is replayed
// after a crash. It does nothing if there is nothing new.
func (d *DB) FlushAsync() error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.gate.leave()
	seen := d.applied.Load()
	if seen <= d.requested.Load() {
		return nil
	}
	return d.detached("flush", func() error {
		_, err := d.startFlush(seen)
		return err
	})
}

// Flush makes everything applied so far durable.
func (d *DB) Flush() error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.gate.leave()
	return d.flush()
}

func (d *DB) flush() error {
	seen := d.applied.Load()
	if seen <= d.durable.Load() {
		return nil
	}
	return d.detached("flush", func() error {
		flushed, err := d.startFlush(seen)
		if err != nil {
			return err
		}
		<-flushed // detached gives up on it if the flush dies
		raise(&d.durable, seen)
		return nil
	})
}

func (d *DB) startFlush(seen uint64) (<-chan struct{}, error) {
	flushed, err := d.pebble.AsyncFlush()
	if err == nil {
		raise(&d.requested, seen)
	}
	return flushed, err
}

// raise sets v to at least n.
func raise(v *atomic.Uint64, n uint64) {
	for {
		old := v.Load()
		if old >= n || v.CompareAndSwap(old, n) {
			return
		}
	}
}

// Close flushes and closes the store. Open iterators and snapshots are closed
// with it. Every later call, on them too, returns state.ErrEngineClosed.
//
// A dead store is left as it is: Pebble's Close would wait for a goroutine that
// has ended. Its memory, descriptors and lock are held until the process ends.
func (d *DB) Close() error { return d.shut((*DB).flush) }

// Kill closes the store without the flush, as a crash would end it: what was not
// flushed is replayed from the changelog. On a full disk, where a flush waits for
// room, it is the way out.
func (d *DB) Kill() error { return d.shut(func(*DB) error { return nil }) }

func (d *DB) shut(flush func(*DB) error) error {
	if !d.gate.shutOnce() {
		return state.ErrEngineClosed
	}
	select {
	case <-d.gate.drained:
	case <-d.health.dead:
	}
	if err := d.faultErr(); err != nil {
		return errors.Join(err, d.release())
	}
	err := d.closeReaders()
	err = errors.Join(err, flush(d))
	if d.faultErr() == nil {
		err = errors.Join(err, d.detached("close", d.pebble.Close))
	}
	err = errors.Join(err, d.release())
	if d.faultErr() == nil {
		err = errors.Join(err, d.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// closeReaders closes what is still open. No call of the store can open more,
// and none of a snapshot once that is closed: so snapshots go first.
func (d *DB) closeReaders() (err error) {
	d.open.Lock()
	snapshots := slices.Collect(maps.Keys(d.open.snapshots))
	d.open.Unlock()
	for _, s := range snapshots {
		err = errors.Join(err, s.close())
	}
	d.open.Lock()
	iterators := slices.Collect(maps.Keys(d.open.iterators))
	d.open.Unlock()
	for _, it := range iterators {
		err = errors.Join(err, it.close(state.ErrEngineClosed))
	}
	return err
}
