package pebbledb

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tidemill/tidemill/state"
)

var errSnapshotClosed = errors.New("snapshot is closed: take a new one")

// snapshot has a gate of its own, as it may be closed alone, and Pebble panics
// on a read that comes later.
type snapshot struct {
	db   *DB
	view *pebble.Snapshot
	gate *gate
	// closing is held for a whole close, so that the store's Close, which comes
	// beside a reader's, finds the snapshot closed and not about to be.
	closing sync.Mutex
}

// Snapshot returns a view of the batches applied so far. While it is open,
// compactions keep the rows it can see: close it soon.
func (d *DB) Snapshot() (state.Snapshot, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.gate.leave()
	taken := make(chan *pebble.Snapshot, 1)
	err := d.detached("snapshot", func() error { taken <- d.pebble.NewSnapshot(); return nil })
	if err != nil {
		return nil, err
	}
	s := &snapshot{db: d, view: <-taken, gate: newGate()}
	d.open.Lock()
	d.open.snapshots[s] = struct{}{}
	d.open.Unlock()
	return s, nil
}

func (s *snapshot) enter() error {
	if !s.gate.enter() {
		if s.db.gate.closed() {
			return state.ErrEngineClosed
		}
		return errSnapshotClosed
	}
	err := s.db.faultErr()
	if s.db.gate.closed() {
		err = state.ErrEngineClosed
	}
	if err != nil {
		s.gate.leave()
	}
	return err
}

// Get appends the value of key to dst.
func (s *snapshot) Get(dst, key []byte) ([]byte, bool, error) {
	if err := s.enter(); err != nil {
		return dst, false, err
	}
	defer s.gate.leave()
	return s.db.get(s.view, dst, key)
}

// Iter walks the rows of the snapshot. The iterator may outlive it.
func (s *snapshot) Iter(lower, upper []byte, reverse bool) (state.Iterator, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	return s.db.newIterator(s.view, lower, upper, reverse)
}

// Close releases the snapshot when the calls inside it have ended. Closing it
// twice is no error.
func (s *snapshot) Close() error { return s.close() }

func (s *snapshot) close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if !s.gate.shutOnce() {
		return nil
	}
	defer func() {
		s.db.open.Lock()
		delete(s.db.open.snapshots, s)
		s.db.open.Unlock()
	}()
	select {
	case <-s.gate.drained:
	case <-s.db.health.dead:
	}
	if s.db.faultErr() != nil {
		return nil // nothing of a dead store is touched again
	}
	return s.db.detached("close snapshot", s.view.Close)
}
