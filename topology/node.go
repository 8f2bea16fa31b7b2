package topology

import (
	"github.com/tidemill/tidemill/processor"
)

// Node kinds, as Describe and error messages show them.
const (
	kindSource  = "source"
	kindSink    = "sink"
	kindProcess = "process"
)

// node is one declared operator. What depends on types is in wire, which builds
// the node's entry for one task: an emit of the node's input types.
type node struct {
	id       int // position in the declaration order: inputs have smaller ids
	name     string
	kind     string
	inputs   []*node
	children []*node
	stores   []string
	topic    *TopicDecl // of sources and sinks
	sub      string     // explicit name of the sub-topology, of sources
	process  string     // durable name of a processor, which Named does not change
	table    bool       // its records are updates of a table
	lookups  []*node    // tables whose rows it reads without seeing their updates
	globals  []string   // global stores that it reads
	feeder   *node      // of a repartition topic's source: the sink that fills it
	// keepNullKeys lets records without a key through a repartition sink, and
	// dropNullKeys drops them at the source of a table.
	keepNullKeys, dropNullKeys bool
	detail                     []string // "key value" pairs for Describe
	wire                       func(w *wirer) any
}

// emit passes a record to a node. It returns the first error from below.
type emit[K, V any] func(r processor.Record[K, V]) error

// wirer builds the instance of one task.
type wirer struct {
	env      *Env
	instance *Instance
	entries  map[*node]any
	warmed   map[string]bool // stores that the sources warm
	err      error
}

// entry returns the entry of a node, building it and everything below it on
// first use.
func entry[K, V any](w *wirer, n *node) emit[K, V] {
	built, ok := w.entries[n]
	if !ok {
		built = n.wire(w)
		w.entries[n] = built
	}
	return built.(emit[K, V])
}

// below returns an emit that passes a record to all children of a node, in the
// order of their declaration, each to its end before the next.
func below[K, V any](w *wirer, n *node) emit[K, V] {
	children := make([]emit[K, V], len(n.children))
	for i, c := range n.children {
		children[i] = entry[K, V](w, c)
	}
	switch len(children) {
	case 0:
		return func(processor.Record[K, V]) error { return nil }
	case 1:
		return children[0]
	}
	return func(r processor.Record[K, V]) error {
		for _, child := range children {
			if err := child(r); err != nil {
				return err
			}
		}
		return nil
	}
}

// fail keeps the first error of wiring.
func (w *wirer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
