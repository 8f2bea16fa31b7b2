package topology

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// Global is a table that every instance holds whole, whatever its partitions are:
// for joins by any key (see [JoinGlobal]), and for lookups by processors that are
// given its store's handle.
type Global[K, V any] struct {
	b     *Builder
	store state.KeyValueStore[K, V]
}

// GlobalTable reads all partitions of a topic as one table: the last record of a
// key, by offset, is its row, a record without a value deletes the row, and one
// without a key is dropped and counted. A key must keep its partition.
//
// The table is loaded completely before the first record is processed. From then
// on it is updated independently of the streams: whether a record sees an update
// that was written about the same time depends on the moment, and after a crash
// it may see a later row than the first time. The store is not a part of any
// task; it has no changelog but the topic, which should be compacted and must not
// forget rows otherwise.
func GlobalTable[K, V any](b *Builder, t Topic[K, processor.Opt[V]], store state.KeyValueStore[K, V]) *Global[K, V] {
	spec := store.Spec()
	n := &node{name: cmp.Or(spec.Name, "global-table")} // for messages: it runs in no task
	g := &Global[K, V]{b: b, store: store}
	if t.EventTime != nil {
		b.fail(n.name, "topic %s: the rows of a global table have the times of their records; remove EventTime", t.Name)
	}
	if err := state.CheckName(spec.Name); err != nil {
		b.fail("global-table", "store: %v", err)
		return g
	}
	if b.stores[spec.Name] != nil || b.globals[spec.Name] != nil {
		b.fail(n.name, "store %s is used already; a global table needs a store of its own", spec.Name)
		return g
	}
	if b.finished {
		return g
	}
	b.checkSerdes(n, "store "+spec.Name, store.KeySerde(), store.ValueSerde())
	decl := declare(t)
	decl.Source, decl.Global = true, true
	if earlier := b.topics[t.Name]; earlier != nil && earlier.Source {
		b.fail(n.name, "topic %s is read by a source too; a record would then meet its own update or not, by chance", t.Name)
	}
	if decl.KeyName != spec.Key || decl.ValueName != spec.Value {
		b.fail(n.name, "topic %s has serdes %s and %s, store %s has %s and %s; the rows are kept as they come, so use the same ones",
			t.Name, decl.KeyName, decl.ValueName, spec.Name, spec.Key, spec.Value)
	}
	b.globals[spec.Name] = &globalDecl{topic: b.topic(n, decl), handle: store, spec: spec, check: checkRow(t)}
	return g
}

// checkRow decodes what a lookup would, so that a record which does not decode is
// found where it comes from.
func checkRow[K, V any](t Topic[K, V]) func(key, value []byte) error {
	return func(key, value []byte) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic of a serde: %v", p)
			}
		}()
		if _, err := t.Key.Decode(key); err != nil {
			return fmt.Errorf("key does not decode as %s: %w", t.Key.Name(), err)
		}
		if value == nil {
			return nil
		}
		if _, err := t.Value.Decode(value); err != nil {
			return fmt.Errorf("value does not decode as %s: %w", t.Value.Name(), err)
		}
		return nil
	}
}

// globalDecl is a declared global table.
type globalDecl struct {
	topic  *TopicDecl
	handle state.Handle
	spec   state.Spec
	check  func(key, value []byte) error
}

// GlobalSpec describes a global table to the runtime.
type GlobalSpec struct {
	Topic  *TopicDecl
	Store  state.Spec
	Handle state.Handle
	// Check is the error of a record whose key or value does not decode.
	Check func(key, value []byte) error
}

// Globals returns the global tables, by name of their stores.
func (t *Topology) Globals() []GlobalSpec {
	out := make([]GlobalSpec, 0, len(t.d.globals))
	for _, g := range t.d.globals {
		out = append(out, GlobalSpec{Topic: g.topic, Store: g.spec, Handle: g.handle, Check: g.check})
	}
	slices.SortFunc(out, func(a, b GlobalSpec) int { return cmp.Compare(a.Store.Name, b.Store.Name) })
	return out
}

// Globals gives tasks the rows of global tables. The runtime implements it.
type Globals interface {
	// GlobalStore returns the rows of a store, which must be loaded.
	GlobalStore(name string) (GlobalStore, error)
}

// GlobalStore is where the rows of a global table are. All of it may be used from
// several goroutines.
type GlobalStore struct {
	Rows state.Reader
	// ID is the number of the store in Rows.
	ID uint16
	// Version changes after each change of the rows.
	Version func() uint64
}

// readsGlobal declares that a processor reads the store of a global table, if h is
// the handle of one.
func (b *Builder) readsGlobal(n *node, h state.Handle) bool {
	spec := h.Spec()
	g := b.globals[spec.Name]
	if g == nil {
		return false
	}
	if diff := g.spec.Diff(spec); len(diff) > 0 {
		b.fail(n.name, "store %s is declared twice with a different %s; use one handle", spec.Name, diff[0])
	}
	n.readGlobal(spec.Name)
	return true
}

func (n *node) readGlobal(store string) {
	n.globals = append(n.globals, store)
	n.detail = append(n.detail, "global store", store)
}

// openGlobal opens a global store for a task, unless another node has done so.
func (w *wirer) openGlobal(name string) error {
	inst := w.instance
	if inst.globals[name] != nil {
		return nil
	}
	if w.env.globals == nil {
		return fmt.Errorf("global store %s: whoever runs the topology has not loaded it", name)
	}
	g, err := w.env.globals.GlobalStore(name)
	if err != nil {
		return fmt.Errorf("global store %s: %w", name, err)
	}
	decl := w.env.globalDecls[name]
	s, err := decl.handle.Open(state.Env{Spec: decl.spec, ID: g.ID, View: g.Rows, CacheBytes: w.env.CacheBytes,
		Now: inst.recordTime, Version: g.Version})
	if err != nil {
		return fmt.Errorf("global store %s: %w", name, err)
	}
	inst.globals[name] = s
	return nil
}
