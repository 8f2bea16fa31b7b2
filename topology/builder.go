package topology

import (
	"fmt"
	"slices"

	"github.com/hashicorp/go-multierror"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// Builder collects declarations. Mistakes do not stop it: [Builder.Build]
// returns all of them at once. It is not safe for concurrent use.
type Builder struct {
	*declarations
	sub string // name that sources declared through this Builder give their sub-topology
}

// declarations is what a Builder and its Sub views share.
type declarations struct {
	app      string
	nodes    []*node
	topics   map[string]*TopicDecl
	order    []string // topic names as declared
	stores   map[string]*storeDecl
	globals  map[string]*globalDecl // by store
	sampled  map[string]bool        // stores whose sampled updates may be counted
	errors   *multierror.Error
	finished bool
}

// storeDecl is a declared store.
type storeDecl struct {
	handle state.Handle
	spec   state.Spec
	nodes  []*node // who uses it, in order of declaration
	owner  *node   // the node of the table whose rows it holds; nil if processors write it
}

// ownedBy makes n the owner unless it is a processor, which takes what others
// leave.
func (s *storeDecl) ownedBy(n *node, h state.Handle, spec state.Spec, shared bool) {
	if !shared && s.owner == nil {
		s.owner, s.handle, s.spec = n, h, spec
	}
}

// New starts a topology. The name of the application is durable: it is part of
// the names of its internal topics, of its group and of its tasks.
func New(app string) *Builder {
	b := &Builder{declarations: &declarations{
		app: app, topics: map[string]*TopicDecl{}, stores: map[string]*storeDecl{}, globals: map[string]*globalDecl{},
		sampled: map[string]bool{},
	}}
	if err := state.CheckName(app); err != nil {
		b.fail("application", "%v; give topology.New a valid name", err)
	}
	return b
}

// Sub returns a view of b whose sources start a sub-topology of that name. It is
// needed only when several parts of a topology are not connected: the name is
// part of the ids of their tasks.
func (b *Builder) Sub(name string) *Builder {
	if err := state.CheckName(name); err != nil {
		b.fail("sub-topology", "%v; give Sub a valid name", err)
	}
	return &Builder{declarations: b.declarations, sub: name}
}

// AcceptSampledUpdates acknowledges that operators below the table of that store
// see a sample of its updates, because it emits per commit: what they compute
// from the number of updates depends on when commits happen.
func (b *Builder) AcceptSampledUpdates(store string) { b.sampled[store] = true }

// fail records a mistake of a declaration: the node it concerns, then what is
// wrong and how to mend it.
func (d *declarations) fail(node, format string, args ...any) {
	d.errors = multierror.Append(d.errors, &DeclarationError{Node: node, Problem: fmt.Sprintf(format, args...)})
}

// DeclarationError is one mistake found by Build.
type DeclarationError struct {
	Node    string // the node it concerns
	Problem string // what is wrong, and the fix
}

func (e *DeclarationError) Error() string { return e.Node + ": " + e.Problem }

// add appends a node below its inputs.
func (d *declarations) add(kind string, inputs ...*node) *node {
	n := &node{id: len(d.nodes), kind: kind, inputs: inputs}
	n.name = fmt.Sprintf("%s-%d", kind, n.id)
	d.nodes = append(d.nodes, n)
	if d.finished {
		return n // connected to nothing: a Topology that was built does not change
	}
	for _, in := range inputs {
		in.children = append(in.children, n)
	}
	return n
}

// topic registers the use of a topic by a node and checks it against earlier
// uses of the same name.
func (d *declarations) topic(n *node, t *TopicDecl) *TopicDecl {
	if err := state.CheckName(t.Name); err != nil {
		d.fail(n.name, "topic: %v", err)
	}
	if t.KeySerde == nil || t.KeyName == "" || t.ValueName == "" {
		d.fail(n.name, "topic %s has no key or value serde; set Topic.Key and Topic.Value", t.Name)
	}
	d.checkSerdes(n, "topic "+t.Name, t.KeySerde, t.ValueSerde)
	if t.Partitions < 0 {
		d.fail(n.name, "topic %s has %d partitions; use a positive number, or 0 for an existing topic", t.Name, t.Partitions)
	}
	if p := t.Partitioner; p != nil && (p.Name == "" || p.Place == nil) {
		d.fail(n.name, "the partitioner of topic %s has no name or no function; set Partitioner.Name and Place", t.Name)
	}
	have := d.topics[t.Name]
	if have == nil {
		d.topics[t.Name], d.order = t, append(d.order, t.Name)
		return t
	}
	differs := func(what string, a, b any) {
		if a != b {
			d.fail(n.name, "topic %s is declared twice with different %s (%v and %v); use one Topic value for both", t.Name, what, a, b)
		}
	}
	differs("partition counts", have.Partitions, t.Partitions)
	if have.Internal != t.Internal {
		d.fail(n.name, "topic %s is a repartition topic and is also used directly; give Repartition a topic of its own", t.Name)
		have.Internal = true
	}
	differs("key serdes", have.KeyName, t.KeyName)
	differs("value serdes", have.ValueName, t.ValueName)
	differs("partitioners", partitionerName(have.Partitioner), partitionerName(t.Partitioner))
	have.Source, have.Sink = have.Source || t.Source, have.Sink || t.Sink
	return have
}

// checkSerdes reports serdes that were declared wrongly.
func (d *declarations) checkSerdes(n *node, of string, serdes ...any) {
	for _, s := range serdes {
		if err := serde.Check(s); err != nil {
			d.fail(n.name, "%s: %v", of, err)
		}
	}
}

// store registers the use of a store by a node. The node of a table owns its
// store; processors may share one, or read that of a table.
func (d *declarations) store(n *node, h state.Handle, spec state.Spec, shared bool) {
	if err := state.CheckName(spec.Name); err != nil {
		d.fail(n.name, "store: %v", err)
		return
	}
	if spec.Key == "" || spec.Value == "" {
		d.fail(n.name, "store %s has no key or value serde; give both to its handle", spec.Name)
	}
	d.checkSerdes(n, "store "+spec.Name, h.KeySerde(), h.ValueSerde())
	if d.globals[spec.Name] != nil {
		d.fail(n.name, "store %s already belongs to a global table; use another name", spec.Name)
	}
	have := d.stores[spec.Name]
	if have == nil {
		have = &storeDecl{handle: h, spec: spec, nodes: []*node{n}}
		d.stores[spec.Name] = have
		have.ownedBy(n, h, spec, shared)
		n.stores = append(n.stores, spec.Name)
		return
	}
	if slices.Contains(n.stores, spec.Name) {
		return
	}
	stored := have.spec
	if spec.WindowSize == 0 || stored.WindowSize == 0 {
		spec.WindowSize, stored.WindowSize = 0, 0 // only the owner knows it
	}
	if diff := stored.Diff(spec); len(diff) > 0 {
		d.fail(n.name, "store %s is declared twice with a different %s; use one handle, or two names", spec.Name, diff[0])
	}
	if !shared && have.owner != nil {
		d.fail(n.name, "store %s already belongs to %s; a table needs a store of its own", spec.Name, have.owner.name)
	}
	have.ownedBy(n, h, spec, shared)
	have.nodes = append(have.nodes, n)
	n.stores = append(n.stores, spec.Name)
}

// Build checks everything and returns the topology, or all mistakes as one
// *multierror.Error of *[DeclarationError].
func (b *Builder) Build() (*Topology, error) {
	if b.finished {
		return nil, fmt.Errorf("topology %s: Build was called already; declare a new one", b.app)
	}
	b.finished = true
	b.checkLoops()
	b.checkChangelogs()
	subs := b.subTopologies()
	if len(b.nodes) == 0 {
		b.fail("topology "+b.app, "nothing is declared; begin with topology.Source")
	}
	if err := b.errors.ErrorOrNil(); err != nil {
		return nil, err
	}
	return newTopology(b.freeze(), subs), nil
}

// freeze hands the declarations to a Topology and leaves empty ones to whoever
// goes on declaring, so that nothing reaches a topology that was built.
func (b *Builder) freeze() *declarations {
	built := *b.declarations
	b.topics, b.stores, b.sampled = map[string]*TopicDecl{}, map[string]*storeDecl{}, map[string]bool{}
	b.globals = map[string]*globalDecl{}
	b.nodes, b.order = nil, nil
	return &built
}
