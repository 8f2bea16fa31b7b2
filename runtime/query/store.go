package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// Position is what an answer reflects: per partition, the next offset of each
// input topic.
type Position map[int32]map[string]int64

// maxPositionHeader bounds the Position header. A longer position, that of an
// answer from very many partitions, is in the body alone.
const maxPositionHeader = 4 << 10

func setPosition(h http.Header, p Position) {
	if text, err := json.Marshal(p); err == nil && len(text) <= maxPositionHeader {
		h.Set("Position", string(text))
	}
}

// store is a declared store as queries see it.
type store struct {
	name       string
	spec       state.Spec // of the handle: window size and retention may be unset
	partitions int32
	key, value codec
}

func findStore(b Backend, name string) (store, error) {
	handles := b.Handles()
	h, ok := handles[name]
	if !ok {
		p := problem(CodeStoreNotFound, fmt.Sprintf("application %s has no store %q", b.App(), clip(name)))
		p.Stores = sortedNames(handles)
		return store{}, p
	}
	spec := h.Spec()
	return store{
		name: spec.Name, spec: spec, partitions: b.Partitions(name),
		key: codecOf(spec.Key, h.KeySerde()), value: codecOf(spec.Value, h.ValueSerde()),
	}, nil
}

// view opens the committed view of a partition. One that is not active is
// reported with the progress of the tasks that are being restored.
func (s store) view(b Backend, partition int32) (*View, error) {
	v, err := b.Snapshot(s.name, partition)
	if err == nil && (v.Spec.Kind.HasSpans() || v.Spec.Kind.HasJoinRows()) {
		// Their rows lie in another order than those of windows and keys.
		err = problem(CodeBadRequest, fmt.Sprintf("store %s is a %s store, which is not served over HTTP", s.name, v.Spec.Kind))
		return nil, errors.Join(err, v.Close())
	}
	if err == nil {
		return v, nil
	}
	p := problemOf(err)
	if p.Code != CodeNotActive {
		return nil, fmt.Errorf("store %s, partition %d: %w", s.name, partition, err)
	}
	active := problem(CodeNotActive, fmt.Sprintf("store %s, partition %d: %s", s.name, partition, p.Detail))
	active.Store, active.Partition, active.cause = s.name, &partition, err
	for _, t := range b.Health().Tasks {
		if t.State != "running" {
			active.Progress = append(active.Progress, t)
		}
	}
	return nil, active
}

// partition places an encoded key.
func (s store) partition(b Backend, key []byte) (int32, error) {
	p := b.PartitionOf(s.name, key)
	if p < 0 || p >= s.partitions {
		return 0, fmt.Errorf("store %s: a key is placed on partition %d of %d: check the topic's partitioner", s.name, p, s.partitions)
	}
	return p, nil
}

func (s store) all() []int32 {
	out := make([]int32, s.partitions)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

func positionOf(v *View) Position { return Position{v.Partition: v.Position} }

// row is one row of a view. Its slices are valid until the walk goes on.
type row struct {
	view  *View
	start int64 // of the window; 0 in key-value stores
	key   []byte
	time  int64
	value []byte
}

// splitRow takes an engine row apart.
func splitRow(v *View, engineKey, stored []byte) (row, error) {
	r := row{view: v}
	var err error
	if r.start, r.key, err = state.SplitRowKey(v.Spec.Kind, engineKey); err == nil {
		r.time, r.value, err = state.SplitRowValue(stored)
	}
	if err != nil {
		return row{}, fmt.Errorf("store %s, partition %d: %w", v.Spec.Name, v.Partition, err)
	}
	return r, nil
}

// end is the end of the window, or 0 where the store does not know its length.
func (r row) end() int64 {
	if r.view.Spec.WindowSize <= 0 {
		return 0
	}
	return r.start + r.view.Spec.WindowSize.Milliseconds()
}

// lookup reads one row. key is the encoded key without a window.
func lookup(v *View, start int64, key []byte) (row, bool, error) {
	engineKey := state.AppendRowKey(nil, v.ID, v.Spec.Kind, start, key)
	stored, ok, err := v.Get(nil, engineKey)
	if err != nil {
		return row{}, false, fmt.Errorf("store %s, partition %d: read: %w", v.Spec.Name, v.Partition, err)
	}
	if !ok {
		return row{}, false, nil
	}
	r, err := splitRow(v, engineKey, stored)
	return r, err == nil, err
}

// eachWindow goes through the windows of a partition with from <= start < to in
// which any key has a row, oldest first, and tells visit the row of the given
// key, or that it has none there.
//
// Rows lie by start first, so the windows of one key are not next to each other.
// Each start costs one seek, to find it, and one point read, for which a key
// that is not there is mostly ruled out by a filter; rows of other keys are not
// read. The next start cannot be computed from the window size: windows that are
// empty or that a processor wrote follow no grid.
func eachWindow(ctx context.Context, v *View, key []byte, from, to int64, visit func(start int64, r row, found bool) (more bool, err error)) error {
	from = max(from, v.Horizon, 0)
	for from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, ok, err := nextStart(v, from, to)
		if err != nil || !ok {
			return err
		}
		r, found, err := lookup(v, start, key)
		if err != nil {
			return err
		}
		more, err := visit(start, r, found)
		if err != nil || !more {
			return err
		}
		from = start + 1
	}
	return nil
}

func nextStart(v *View, from, to int64) (start int64, ok bool, err error) {
	lower, upper := state.WindowRange(v.ID, from, to)
	it, err := v.Iter(lower, upper, false)
	if err != nil {
		return 0, false, fmt.Errorf("store %s, partition %d: seek: %w", v.Spec.Name, v.Partition, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.Next() {
		return 0, false, it.Err()
	}
	start, _, err = state.SplitRowKey(v.Spec.Kind, it.Key())
	return start, err == nil, err
}

// timestamp shows a time of a row.
func timestamp(ms int64) string { return processor.Timestamp(ms).String() }

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
