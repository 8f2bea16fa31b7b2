package statetest

import (
	"bytes"

	"github.com/tidemill/tidemill/state"
)

// The engines below are broken in one way each.

type liveSnapshots struct{ state.Engine }

type liveView struct{ state.Engine }

func (liveView) Close() error                             { return nil }
func (e liveSnapshots) Snapshot() (state.Snapshot, error) { return liveView(e), nil }

type overwritesDst struct{ state.Engine }

func (e overwritesDst) Get(dst, key []byte) ([]byte, bool, error) {
	value, ok, err := e.Engine.Get(nil, key)
	if !ok {
		return dst, ok, err
	}
	return value, ok, err
}

// emptyIsMissing takes an empty value for a missing row.
type emptyIsMissing struct{ state.Engine }

func (e emptyIsMissing) Get(dst, key []byte) ([]byte, bool, error) {
	value, ok, err := e.Engine.Get(dst, key)
	return value, ok && len(value) > len(dst), err
}

// inclusive includes the upper bound.
type inclusive struct{ state.Engine }

func (e inclusive) Iter(lower, upper []byte, reverse bool) (state.Iterator, error) {
	if upper != nil {
		upper = append(bytes.Clone(upper), 0)
	}
	return e.Engine.Iter(lower, upper, reverse)
}

// oneWay ignores reverse.
type oneWay struct{ state.Engine }

func (e oneWay) Iter(lower, upper []byte, _ bool) (state.Iterator, error) {
	return e.Engine.Iter(lower, upper, false)
}

// immortal goes on after Close.
type immortal struct{ state.Engine }

func (immortal) Close() error { return nil }

// lateIterators looks at the store when Next is called first.
type lateIterators struct{ state.Engine }

func (e lateIterators) Iter(lower, upper []byte, reverse bool) (state.Iterator, error) {
	return &lateIterator{open: func() (state.Iterator, error) { return e.Engine.Iter(lower, upper, reverse) }}, nil
}

type lateIterator struct {
	open func() (state.Iterator, error)
	state.Iterator
	err error
}

func (it *lateIterator) Next() bool {
	if it.Iterator == nil && it.err == nil {
		it.Iterator, it.err = it.open()
	}
	return it.err == nil && it.Iterator.Next()
}

func (it *lateIterator) Err() error {
	if it.Iterator == nil {
		return it.err
	}
	return it.Iterator.Err()
}

func (it *lateIterator) Close() error {
	if it.Iterator == nil {
		return nil
	}
	return it.Iterator.Close()
}

// wrapped changes the batches of an engine.
type wrapped struct {
	state.Engine
	wrap func(state.Batch) state.Batch
}

func (e wrapped) NewBatch() state.Batch { return e.wrap(e.Engine.NewBatch()) }

// Apply unwraps: the engine wants its own batch.
func (e wrapped) Apply(b state.Batch) error {
	switch b := b.(type) {
	case eager:
		return b.Close()
	case inner:
		return e.Engine.Apply(b.unwrap())
	}
	return e.Engine.Apply(b)
}

type inner interface{ unwrap() state.Batch }

// keepsRange ignores DeleteRange.
type keepsRange struct{ state.Batch }

func (b keepsRange) unwrap() state.Batch           { return b.Batch }
func (b keepsRange) DeleteRange(_, _ []byte) error { return nil }

// aliasing keeps the caller's slices until the batch is applied.
type aliasing struct {
	state.Batch
	late *[]func() error
}

func (b aliasing) Set(key, value []byte) error {
	*b.late = append(*b.late, func() error { return b.Batch.Set(key, value) })
	return nil
}

func (b aliasing) unwrap() state.Batch {
	for _, set := range *b.late {
		_ = set()
	}
	*b.late = nil
	return b.Batch
}

// eager applies every write at once.
type eager struct {
	state.Batch
	engine state.Engine
}

func (b eager) Set(key, value []byte) error {
	return apply(b.engine, func(one state.Batch) error { return one.Set(key, value) })
}
