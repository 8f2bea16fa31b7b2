package pebbledb

import (
	"bytes"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tidemill/tidemill/state"
)

// iterator copies the row it stands on. Close of the store may run while
// another goroutine still reads a key, and Pebble's memory is freed then; a lock
// could guard Next but not the slices that were handed out.
type iterator struct {
	db         *DB
	reverse    bool
	key, value []byte // the current row
	mu         struct {
		sync.Mutex
		rows    *pebble.Iterator // nil once closed, or if the range is empty
		started bool
		err     error
	}
}

// newIterator opens an iterator on the store or a snapshot. The caller is inside
// a gate.
func (d *DB) newIterator(from pebble.Reader, lower, upper []byte, reverse bool) (_ state.Iterator, err error) {
	it := &iterator{db: d, reverse: reverse}
	if upper != nil && bytes.Compare(lower, upper) >= 0 {
		return it, nil
	}
	if len(lower) == 0 {
		lower = nil // Pebble does not expect an empty bound
	}
	defer d.endCall(&err)
	rows, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, d.checked("iterate", err)
	}
	it.mu.rows = rows
	d.open.Lock()
	d.open.iterators[it] = struct{}{}
	d.open.Unlock()
	return it, nil
}

// Next moves to the next row. False means the end, or an error: see Err.
func (it *iterator) Next() bool {
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.mu.rows == nil || it.mu.err != nil {
		return false
	}
	if it.mu.err = it.db.faultErr(); it.mu.err != nil {
		return false
	}
	ok, err := it.stepLocked()
	it.mu.err = err
	return ok && err == nil
}

// stepLocked moves and copies the row.
func (it *iterator) stepLocked() (ok bool, err error) {
	defer it.db.endCall(&err)
	rows := it.mu.rows
	switch {
	case it.mu.started && it.reverse:
		ok = rows.Prev()
	case it.mu.started:
		ok = rows.Next()
	case it.reverse:
		ok = rows.Last()
	default:
		ok = rows.First()
	}
	it.mu.started = true
	if !ok {
		return false, it.db.checked("iterate", rows.Error())
	}
	value, err := rows.ValueAndErr()
	if err != nil {
		return false, it.db.checked("iterate", err)
	}
	it.key = append(it.key[:0], rows.Key()...)
	it.value = append(it.value[:0], value...)
	return true, nil
}

// Key is the current row's key, valid until the next call of Next.
func (it *iterator) Key() []byte { return it.key }

// Value is the current row's value, valid until the next call of Next.
func (it *iterator) Value() []byte { return it.value }

// Err is the error that ended the walk early.
func (it *iterator) Err() error {
	it.mu.Lock()
	defer it.mu.Unlock()
	return it.mu.err
}

// Close releases the iterator. Closing twice is no error.
func (it *iterator) Close() error { return it.close(nil) }

// close releases the iterator; why becomes its error if it was still open.
func (it *iterator) close(why error) (err error) {
	it.mu.Lock()
	defer it.mu.Unlock()
	rows := it.mu.rows
	if rows == nil {
		return nil
	}
	it.mu.rows = nil
	if it.mu.err == nil {
		it.mu.err = why
	}
	// Last, so that Close of the store finds it and waits for the lock.
	defer func() {
		it.db.open.Lock()
		delete(it.db.open.iterators, it)
		it.db.open.Unlock()
	}()
	if it.db.faultErr() != nil {
		return nil // nothing of a dead store is touched again
	}
	defer it.db.endCall(&err)
	return it.db.checked("close iterator", rows.Close())
}
