package topology

import (
	"cmp"
	"slices"
	"strings"
)

// subTopology is a part of the topology that is connected without passing
// through a topic. It becomes one task per partition.
type subTopology struct {
	name    string
	nodes   []*node
	sources []*node
	stores  []string
}

// subTopologies finds the connected parts, names them and checks them.
func (b *Builder) subTopologies() []*subTopology {
	parent := make([]int, len(b.nodes))
	for i := range parent {
		parent[i] = i
	}
	var find func(int) int
	find = func(i int) int {
		if parent[i] != i {
			parent[i] = find(parent[i])
		}
		return parent[i]
	}
	join := func(x, y *node) { parent[find(x.id)] = find(y.id) }
	for _, n := range b.nodes {
		for _, in := range n.inputs {
			join(n, in)
		}
		for _, looked := range n.lookups {
			join(n, looked)
		}
	}
	for _, s := range b.stores {
		for _, n := range s.nodes[1:] {
			join(s.nodes[0], n)
		}
	}
	byRoot := map[int]*subTopology{}
	var subs []*subTopology
	for _, n := range b.nodes {
		s := byRoot[find(n.id)]
		if s == nil {
			s = &subTopology{}
			byRoot[find(n.id)] = s
			subs = append(subs, s)
		}
		s.nodes = append(s.nodes, n)
		if n.kind == kindSource {
			s.sources = append(s.sources, n)
		}
		for _, st := range n.stores {
			if !slices.Contains(s.stores, st) {
				s.stores = append(s.stores, st)
			}
		}
	}
	b.nameSubTopologies(subs)
	for _, s := range subs {
		b.checkCoPartitioned(s)
	}
	return subs
}

// nameSubTopologies gives each its durable name: the one given with Sub; the
// application's, for the only part that reads topics of others; the repartition
// topic's, for a part that reads nothing else.
func (b *Builder) nameSubTopologies(subs []*subTopology) {
	taken := map[string]*subTopology{}
	for _, s := range subs {
		external := false
		for _, n := range s.sources {
			external = external || !n.topic.Internal
			if n.sub == "" || n.topic.Internal {
				continue // a repartition topic's source has the name from upstream
			}
			if s.name != "" && n.sub != s.name {
				b.fail(n.name, "connected sources are named %s and %s with Sub; use one name", s.name, n.sub)
			}
			s.name = n.sub
		}
		switch {
		case s.name != "":
		case external:
			s.name = b.app
		case len(s.sources) > 0:
			first := slices.MinFunc(s.sources, func(x, y *node) int { return cmp.Compare(x.topic.Name, y.topic.Name) })
			s.name = first.topic.Name
		}
		if other := taken[s.name]; other != nil {
			b.fail("sub-topology "+s.name, "it has parts that are not connected (sources %s and %s); declare the sources of each "+
				"through b.Sub(name) with a name of its own", sourceNames(other), sourceNames(s))
		}
		taken[s.name] = s
	}
}

// checkCoPartitioned demands that the topics of a sub-topology agree on
// partitions: one task reads the same partition of all of them.
func (b *Builder) checkCoPartitioned(s *subTopology) {
	var counted *node // the first source that says how many partitions it has
	for _, n := range s.sources {
		first := s.sources[0]
		if counted == nil && n.topic.Partitions != 0 {
			counted = n
		}
		if c := n.topic.Partitions; c != 0 && c != counted.topic.Partitions {
			b.fail(n.name, "topics %s and %s are processed together but have %d and %d partitions; give them the same number, "+
				"or insert Repartition", counted.topic.Name, n.topic.Name, counted.topic.Partitions, c)
		}
		if a, c := partitionerName(first.topic.Partitioner), partitionerName(n.topic.Partitioner); a != c {
			b.fail(n.name, "topics %s and %s are processed together but partitioned by %s and %s; use one partitioner, "+
				"or insert Repartition", first.topic.Name, n.topic.Name, a, c)
		}
	}
}

func sourceNames(s *subTopology) string {
	names := make([]string, len(s.sources))
	for i, n := range s.sources {
		names[i] = n.topic.Name
	}
	return strings.Join(names, ", ")
}
