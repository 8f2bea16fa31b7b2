package state

import (
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/processor"
)

// Access is what a task hands out for a store: the cells, and the time that a
// written row gets.
type Access struct {
	Cells Instance
	Now   func() processor.Timestamp
	// Owner names the table whose rows the store holds. A processor may only read
	// them. "" is a store that processors write.
	Owner string
}

// ErrReadOnly: a processor tried to write a store that holds the rows of a table.
var ErrReadOnly = errors.New("the store is read-only here")

// writable is an error if the store belongs to a table.
func writable(owner, store string) error {
	if owner == "" {
		return nil
	}
	return fmt.Errorf("store %s holds the rows of table %s: %w; give the processor a store of its own", store, owner, ErrReadOnly)
}

// KV is a key-value store inside a processor. It is valid during the call whose
// context it came from.
type KV[K, V any] struct {
	handle KeyValueStore[K, V]
	cells  *kvCells[V]
	now    func() processor.Timestamp
	owner  string
	buf    []byte
}

// Of gives a processor its store, by handle. The store must have been declared
// with the node.
func Of[K, V any](ctx processor.TaskContext, h KeyValueStore[K, V]) (*KV[K, V], error) {
	cells, access, err := cellsOf[*kvCells[V]](ctx, h)
	if err != nil {
		return nil, err
	}
	return &KV[K, V]{handle: h, cells: cells, now: access.Now, owner: access.Owner}, nil
}

func cellsOf[C Instance](ctx processor.TaskContext, h Handle) (cells C, access Access, err error) {
	found, err := ctx.Store(h.Spec().Name)
	if err != nil {
		return cells, access, err
	}
	access, ok := found.(Access)
	if ok {
		cells, ok = access.Cells.(C)
	}
	if !ok {
		return cells, access, fmt.Errorf("store %s is declared with other types than the handle's", h.Spec().Name)
	}
	return cells, access, nil
}

// Get returns the value of a key and whether there is one.
func (s *KV[K, V]) Get(k K) (v V, ok bool, err error) {
	slot, err := s.slot(k)
	if err != nil {
		return v, false, err
	}
	v, _, ok = slot.Load()
	return v, ok, nil
}

// Put writes the value of a key, with the time of the record being processed.
func (s *KV[K, V]) Put(k K, v V) error {
	if err := writable(s.owner, s.handle.name); err != nil {
		return err
	}
	slot, err := s.slot(k)
	if err == nil {
		slot.Store(v, int64(s.now()))
	}
	return err
}

// Delete removes a key. Removing one that is not there changes nothing.
func (s *KV[K, V]) Delete(k K) error {
	if err := writable(s.owner, s.handle.name); err != nil {
		return err
	}
	slot, err := s.slot(k)
	if err != nil {
		return err
	}
	if _, _, ok := slot.Load(); ok {
		slot.Delete()
	}
	return nil
}

func (s *KV[K, V]) slot(k K) (slot Slot[V], err error) {
	if s.buf, err = s.handle.key.Append(s.buf[:0], k); err != nil {
		return slot, fmt.Errorf("store %s: key does not encode as %s: %w", s.handle.name, s.handle.key.Name(), err)
	}
	return s.cells.Slot(0, s.buf, HashKey(s.buf))
}

// All visits every row in the order of the encoded keys, until visit returns
// false.
func (s *KV[K, V]) All(visit func(k K, v V) bool) error { return s.each(nil, nil, visit) }

// Range visits the rows with from <= key < to in the order of the encoded keys.
func (s *KV[K, V]) Range(from, to K, visit func(k K, v V) bool) error {
	lower, err := s.handle.key.Append(nil, from)
	if err != nil {
		return err
	}
	upper, err := s.handle.key.Append(nil, to)
	if err != nil {
		return err
	}
	return s.each(lower, upper, visit)
}

// Prefix visits the rows whose encoded key begins with prefix.
func (s *KV[K, V]) Prefix(prefix []byte, visit func(k K, v V) bool) error {
	return s.each(prefix, PrefixEnd(prefix), visit)
}

func (s *KV[K, V]) each(lower, upper []byte, visit func(k K, v V) bool) error {
	return s.cells.between(lower, upper, func(c Cell[V]) (bool, error) {
		k, err := decodeKept(s.handle.key, c.Key)
		if err != nil {
			return false, fmt.Errorf("store %s: stored key does not decode as %s: %w", s.handle.name, s.handle.key.Name(), err)
		}
		return visit(k, c.Value), nil
	})
}

// Windows is a window store inside a processor. It is valid during the call
// whose context it came from.
type Windows[K, V any] struct {
	handle WindowStore[K, V]
	cells  *windowCells[V]
	now    func() processor.Timestamp
	owner  string
	buf    []byte
}

// WindowsOf gives a processor its window store, by handle.
func WindowsOf[K, V any](ctx processor.TaskContext, h WindowStore[K, V]) (*Windows[K, V], error) {
	cells, access, err := cellsOf[*windowCells[V]](ctx, h)
	if err != nil {
		return nil, err
	}
	return &Windows[K, V]{handle: h, cells: cells, now: access.Now, owner: access.Owner}, nil
}

// Get returns the row of a key in the window that starts at start.
func (s *Windows[K, V]) Get(k K, start processor.Timestamp) (v V, ok bool, err error) {
	slot, live, err := s.slot(k, start)
	if err != nil || !live {
		return v, false, err
	}
	v, _, ok = slot.Load()
	return v, ok, nil
}

// Put writes the row of a key in the window that starts at start. A row that has
// expired already is not written, and Put returns false. Writing a later window
// moves the store's clock, so that rows older than the retention expire.
func (s *Windows[K, V]) Put(k K, start processor.Timestamp, v V) (bool, error) {
	if err := writable(s.owner, s.handle.name); err != nil {
		return false, err
	}
	if r := s.cells.spec.Retention.Milliseconds(); r > 0 {
		s.cells.ExpireBelow(int64(start) - r + 1)
	}
	slot, live, err := s.slot(k, start)
	if err != nil || !live {
		return false, err
	}
	slot.Store(v, int64(s.now()))
	return true, nil
}

func (s *Windows[K, V]) slot(k K, start processor.Timestamp) (slot Slot[V], live bool, err error) {
	if int64(start) < s.cells.horizon || start < 0 {
		return slot, false, nil
	}
	if s.buf, err = s.handle.key.Append(s.buf[:0], k); err != nil {
		return slot, false, fmt.Errorf("store %s: key does not encode as %s: %w", s.handle.name, s.handle.key.Name(), err)
	}
	slot, err = s.cells.Slot(int64(start), s.buf, HashKey(s.buf))
	return slot, err == nil, err
}

// Fetch visits the rows of one key with from <= start < to, oldest first.
func (s *Windows[K, V]) Fetch(k K, from, to processor.Timestamp, visit func(start processor.Timestamp, v V) bool) error {
	for _, start := range s.cells.Starts(int64(from), int64(to)) {
		v, ok, err := s.Get(k, processor.Timestamp(start))
		if err != nil {
			return err
		}
		if ok && !visit(processor.Timestamp(start), v) {
			return nil
		}
	}
	return nil
}

// InWindow visits all keys of one window in the order of their encoded keys.
func (s *Windows[K, V]) InWindow(start processor.Timestamp, visit func(k K, v V) bool) error {
	return s.cells.EachRow(int64(start), nil, func(c Cell[V]) (bool, error) {
		k, err := decodeKept(s.handle.key, c.Key)
		if err != nil {
			return false, fmt.Errorf("store %s: stored key does not decode as %s: %w", s.handle.name, s.handle.key.Name(), err)
		}
		return visit(k, c.Value), nil
	})
}
