package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// Answer says what a typed query reflects.
type Answer struct {
	// Partition is where the key lies; -1 if the answer is from several.
	Partition int32
	Position  Position
}

// Get returns the value of a key and whether there is one.
//
// Errors of this and the other functions wrap [ErrNotActive] while a partition
// is being restored, and are a *[Problem] where the code helps.
func Get[K, V any](ctx context.Context, b Backend, h state.KeyValueStore[K, V], key K) (v V, a Answer, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return v, a, false, err
	}
	t, err := openTyped[V](b, h)
	if err != nil {
		return v, a, false, err
	}
	_, encoded, err := h.StoredKey(nil, key)
	if err != nil {
		return v, a, false, fmt.Errorf("store %s: key: %w", t.store.name, err)
	}
	view, a, err := t.viewOf(encoded)
	if err != nil {
		return v, a, false, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	r, ok, err := lookup(view, 0, encoded)
	if err != nil || !ok {
		return v, a, false, err
	}
	v, err = t.decode(r)
	return v, a, err == nil, err
}

// WindowRow is one row of a window store.
type WindowRow[K, V any] struct {
	// Key is the key and its window, whose End is 0 if the store does not know
	// the length of its windows, as when a processor fills it.
	Key   state.Windowed[K]
	Value V
	Time  processor.Timestamp
}

// maxWindowRows bounds what GetWindows collects.
const maxWindowRows = 10_000

// GetWindows returns the rows of a key with from <= window start < to, oldest
// first; a zero to is the end of time. Its cost grows with the number of windows
// in the range, not with the number of keys in them: one seek and one point read
// each. With more than 10,000 rows it fails with CodeBudget and returns the first
// 10,000.
func GetWindows[K, V any](ctx context.Context, b Backend, h state.WindowStore[K, V], key K, from, to time.Time) (rows []WindowRow[K, V], a Answer, err error) {
	t, err := openTyped[V](b, h)
	if err != nil {
		return nil, a, err
	}
	_, encoded, err := h.StoredKey(nil, state.Windowed[K]{Key: key})
	if err != nil {
		return nil, a, fmt.Errorf("store %s: key: %w", t.store.name, err)
	}
	view, a, err := t.viewOf(encoded)
	if err != nil {
		return nil, a, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	lower, upper := bounds(from, to)
	err = eachWindow(ctx, view, encoded, lower, upper, func(start int64, r row, found bool) (bool, error) {
		if !found {
			return true, nil
		}
		if len(rows) == maxWindowRows {
			return false, problem(CodeBudget, fmt.Sprintf("more than %d windows: go on from %v", maxWindowRows, processor.Timestamp(start)))
		}
		v, err := t.decode(r)
		if err == nil {
			rows = append(rows, WindowRow[K, V]{Key: windowOf(key, r), Value: v, Time: processor.Timestamp(r.time)})
		}
		return true, err
	})
	return rows, a, err
}

// bounds converts a range of time; zero times leave it open.
func bounds(from, to time.Time) (lower, upper int64) {
	lower, upper = 0, math.MaxInt64
	if !from.IsZero() {
		lower = from.UnixMilli()
	}
	if !to.IsZero() {
		upper = to.UnixMilli()
	}
	return lower, upper
}

func windowOf[K any](key K, r row) state.Windowed[K] {
	return state.Windowed[K]{Key: key, Start: processor.Timestamp(r.start), End: processor.Timestamp(r.end())}
}

// Range says which rows of a store to scan; the zero value means all.
type Range[K any] struct {
	// From and To bound the encoded key: From <= key < To.
	From, To processor.Opt[K]
	// Reverse goes from the last row to the first.
	Reverse bool
}

// Scan visits rows in the order of their encoded keys, over all partitions, until
// visit returns false. It holds a snapshot of every partition meanwhile, so visit
// should be quick. It is bounded by ctx alone.
func Scan[K, V any](ctx context.Context, b Backend, h state.KeyValueStore[K, V], which Range[K], visit func(k K, v V) bool) (Answer, error) {
	var s span
	for _, bound := range []struct {
		key processor.Opt[K]
		to  *[]byte
	}{{which.From, &s.lower}, {which.To, &s.upper}} {
		if k, ok := bound.key.Get(); ok {
			_, encoded, err := h.StoredKey([]byte{}, k)
			if err != nil {
				return Answer{}, fmt.Errorf("store %s: key: %w", h.Spec().Name, err)
			}
			*bound.to = encoded
		}
	}
	return scanTyped(ctx, b, h, func(*View) span { return s }, which.Reverse, func(r row, v V) (bool, error) {
		k, err := h.ResultKey(0, append([]byte{}, r.key...), 0)
		if err != nil {
			return false, err
		}
		return visit(k, v), nil
	})
}

// ScanWindows visits the rows of all keys with from <= window start < to in the
// order of start and encoded key, until visit returns false. See [Scan].
func ScanWindows[K, V any](ctx context.Context, b Backend, h state.WindowStore[K, V], from, to time.Time, visit func(WindowRow[K, V]) bool) (Answer, error) {
	lower, upper := bounds(from, to)
	return scanTyped(ctx, b, h, windowSpan(lower, upper), false, func(r row, v V) (bool, error) {
		w, err := h.ResultKey(r.start, append([]byte{}, r.key...), 0)
		if err != nil {
			return false, err
		}
		return visit(WindowRow[K, V]{Key: windowOf(w.Key, r), Value: v, Time: processor.Timestamp(r.time)}), nil
	})
}

func scanTyped[V any](ctx context.Context, b Backend, h state.Handle, rows func(*View) span, reverse bool, visit func(row, V) (bool, error)) (a Answer, err error) {
	t, err := openTyped[V](b, h)
	if err != nil {
		return a, err
	}
	w, err := openWalk(b, t.store, t.store.all(), rows, nil, reverse)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	a = Answer{Partition: -1, Position: w.position()}
	for w.next() {
		if err := ctx.Err(); err != nil {
			return a, err
		}
		r, err := w.row()
		if err != nil {
			return a, err
		}
		v, err := t.decode(r)
		if err != nil {
			return a, err
		}
		more, err := visit(r, v)
		if err != nil {
			return a, fmt.Errorf("store %s, partition %d: stored key: %w", t.store.name, r.view.Partition, err)
		}
		if !more {
			return a, nil
		}
	}
	return a, w.err
}

// typed is a store with the serde of its values.
type typed[V any] struct {
	backend Backend
	store   store
	value   serde.Serde[V]
}

// openTyped checks the handle against the one that was declared: equal names do
// not make equal types.
func openTyped[V any](b Backend, h state.Handle) (typed[V], error) {
	spec := h.Spec()
	st, err := findStore(b, spec.Name)
	if err != nil {
		return typed[V]{}, err
	}
	if diff := st.spec.Diff(spec); len(diff) > 0 {
		return typed[V]{}, fmt.Errorf("store %s is declared differently from the handle: %s", spec.Name, strings.Join(diff, "; "))
	}
	value, ok := h.ValueSerde().(serde.Serde[V])
	if !ok {
		return typed[V]{}, fmt.Errorf("store %s: the handle has no value serde", spec.Name)
	}
	return typed[V]{backend: b, store: st, value: value}, nil
}

func (t typed[V]) viewOf(key []byte) (*View, Answer, error) {
	partition, err := t.store.partition(t.backend, key)
	if err != nil {
		return nil, Answer{}, err
	}
	v, err := t.store.view(t.backend, partition)
	if err != nil {
		return nil, Answer{}, err
	}
	return v, Answer{Partition: partition, Position: positionOf(v)}, nil
}

// decode reads a value. Decode must not refer to its input, which is reused.
func (t typed[V]) decode(r row) (V, error) {
	v, err := t.value.Decode(r.value)
	if err != nil {
		return v, fmt.Errorf("store %s, partition %d: stored value does not decode as %s: %w", t.store.name, r.view.Partition, t.value.Name(), err)
	}
	return v, nil
}
