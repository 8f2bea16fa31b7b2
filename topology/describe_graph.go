package topology

import (
	"fmt"
	"strings"
)

// graph is a Description as vertices and edges, the common part of the drawings:
// a group per sub-topology with its nodes and stores, and the topics outside,
// through which sub-topologies are connected.
type graph struct {
	title  string
	groups []graphGroup
	topics []graphVertex
	edges  []graphEdge
}

type graphGroup struct {
	id, label string
	vertices  []graphVertex
}

type graphVertex struct {
	id    string
	lines []string // of the label
	shape graphShape
}

type graphShape uint8

const (
	shapeNode graphShape = iota
	shapeStore
	shapeTopic
	shapeInternal // a repartition topic
)

type graphEdge struct {
	from, to string
	state    bool // between a node and its store
}

func newGraph(d Description) *graph {
	g := &graph{title: d.App}
	topics := map[string]string{} // id by name
	topic := func(name string, internal bool) string {
		id, known := topics[name]
		if !known {
			id = fmt.Sprintf("t%d", len(topics))
			topics[name] = id
			shape := shapeTopic
			if internal {
				shape = shapeInternal
			}
			g.topics = append(g.topics, graphVertex{id, []string{name}, shape})
		}
		return id
	}
	internal := map[string]bool{}
	for _, t := range d.InternalTopics {
		internal[t.Name] = true
	}
	for i, s := range d.SubTopologies {
		group := graphGroup{id: fmt.Sprintf("sub%d", i), label: s.Name}
		stores := map[string]string{}
		for j, store := range s.Stores {
			id := fmt.Sprintf("s%d_%d", i, j)
			stores[store.Name] = id
			group.vertices = append(group.vertices, graphVertex{id, []string{store.Name, store.Kind}, shapeStore})
		}
		for _, n := range s.Nodes {
			group.vertices = append(group.vertices, nodeVertex(n))
			g.connect(n, stores, func(name string) string { return topic(name, internal[name]) })
		}
		g.groups = append(g.groups, group)
	}
	return g
}

// connect adds the edges of a node: from its topic, to its children, to its
// topic, and to its stores.
func (g *graph) connect(n NodeDescription, stores map[string]string, topic func(string) string) {
	id := nodeID(n.ID)
	if n.Kind == kindSource {
		g.edges = append(g.edges, graphEdge{from: topic(n.Topic), to: id})
	}
	for _, c := range n.Children {
		g.edges = append(g.edges, graphEdge{from: id, to: nodeID(c)})
	}
	if n.Kind == kindSink {
		g.edges = append(g.edges, graphEdge{from: id, to: topic(n.Topic)})
	}
	for _, s := range n.Stores {
		g.edges = append(g.edges, graphEdge{from: id, to: stores[s], state: true})
	}
}

func nodeID(id int) string { return fmt.Sprintf("n%d", id) }

// nodeVertex labels a node with its kind and name, and with the details that the
// edges do not show.
func nodeVertex(n NodeDescription) graphVertex {
	v := graphVertex{id: nodeID(n.ID), lines: []string{nodeLabel(n)}}
	if n.Topic != "" && n.Name == n.Topic {
		v.lines[0] = n.Kind // the topic beside it has the name
	}
	for _, d := range n.Details {
		if d.Name != "store" {
			v.lines = append(v.lines, strings.TrimSpace(d.Name+" "+d.Value))
		}
	}
	return v
}
