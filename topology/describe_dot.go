package topology

import (
	"fmt"
	"strings"
)

// DescribeDOT returns the topology as a Graphviz digraph: a cluster per
// sub-topology, topics outside of them, stores as cylinders.
func (t *Topology) DescribeDOT() string {
	g := newGraph(t.Description())
	var w strings.Builder
	fmt.Fprintf(&w, "digraph %s {\n  rankdir=TB;\n  node [shape=box, fontname=\"Helvetica\"];\n", dotQuote(g.title))
	for _, v := range g.topics {
		fmt.Fprintf(&w, "  %s;\n", dotVertex(v))
	}
	for _, group := range g.groups {
		fmt.Fprintf(&w, "  subgraph cluster_%s {\n    label=%s;\n", group.id, dotQuote(group.label))
		for _, v := range group.vertices {
			fmt.Fprintf(&w, "    %s;\n", dotVertex(v))
		}
		w.WriteString("  }\n")
	}
	for _, e := range g.edges {
		style := ""
		if e.state {
			style = " [style=dashed, dir=none]"
		}
		fmt.Fprintf(&w, "  %s -> %s%s;\n", e.from, e.to, style)
	}
	w.WriteString("}\n")
	return w.String()
}

func dotVertex(v graphVertex) string {
	style := map[graphShape]string{
		shapeStore:    ", shape=cylinder",
		shapeTopic:    ", shape=cds",
		shapeInternal: ", shape=cds, style=dashed",
	}
	return fmt.Sprintf("%s [label=%s%s]", v.id, dotQuote(strings.Join(v.lines, "\n")), style[v.shape])
}

// dotQuote makes a quoted DOT string. Names given with Named may hold anything.
func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "", "\n", `\n`).Replace(s) + `"`
}
