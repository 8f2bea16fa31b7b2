package topology

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// Topology is a checked declaration. It is immutable and safe for concurrent
// use.
type Topology struct {
	d    *declarations
	subs []*subTopology
}

func newTopology(d *declarations, subs []*subTopology) *Topology { return &Topology{d: d, subs: subs} }

// App is the name of the application.
func (t *Topology) App() string { return t.d.app }

// Sub describes one sub-topology to the runtime.
type Sub struct {
	Name    string
	Sources []*TopicDecl // in the order of the declaration
	Stores  []state.Spec // by name
	// Globals gives the tasks the rows of global tables. Whoever runs them sets it,
	// if the topology has any.
	Globals Globals
	sub     *subTopology
	d       *declarations
}

// Subs returns the sub-topologies in the order of their declaration.
func (t *Topology) Subs() []Sub {
	out := make([]Sub, len(t.subs))
	for i, s := range t.subs {
		out[i] = Sub{Name: s.name, sub: s, d: t.d}
		for _, n := range s.sources {
			out[i].Sources = append(out[i].Sources, n.topic)
		}
		for _, name := range s.stores {
			out[i].Stores = append(out[i].Stores, t.d.stores[name].spec)
		}
		slices.SortFunc(out[i].Stores, func(a, b state.Spec) int { return cmp.Compare(a.Name, b.Name) })
	}
	return out
}

// Topics returns all declared topics in the order of their declaration.
func (t *Topology) Topics() []*TopicDecl {
	out := make([]*TopicDecl, len(t.d.order))
	for i, name := range t.d.order {
		out[i] = t.d.topics[name]
	}
	return out
}

// Handles returns the handles of all stores, by name.
func (t *Topology) Handles() map[string]state.Handle {
	out := make(map[string]state.Handle, len(t.d.stores))
	for name, s := range t.d.stores {
		out[name] = s.handle
	}
	return out
}

// Instantiate wires the sub-topology for one task.
func (s Sub) Instantiate(env Env) (_ *Instance, err error) {
	env.stores, env.globalDecls, env.globals = s.d.stores, s.d.globals, s.Globals
	clocks := Clocks{StreamTime: processor.NoTime}
	if env.Clocks != nil {
		clocks = *env.Clocks
	}
	if clocks.Operators == nil {
		clocks.Operators = map[string]*OperatorClock{}
	}
	inst := &Instance{env: &env, storeByName: map[string]state.Instance{}, globals: map[string]state.Instance{},
		clocks: clocks, streamTime: clocks.StreamTime}
	defer inst.recovered(&err)
	w := &wirer{env: &env, instance: inst, entries: map[*node]any{}, warmed: map[string]bool{}}
	for _, n := range s.sub.sources {
		n.wire(w)
	}
	if w.err != nil {
		return nil, w.err
	}
	if len(inst.sources) == 0 {
		return nil, fmt.Errorf("sub-topology %s: %w", s.Name, errNoSource)
	}
	inst.order()
	return inst, nil
}
