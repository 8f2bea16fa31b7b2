package topology

import (
	"fmt"
	"strings"
)

// DescribeMermaid returns the topology as a Mermaid flowchart: a subgraph per
// sub-topology, topics outside of them, stores as cylinders.
func (t *Topology) DescribeMermaid() string {
	g := newGraph(t.Description())
	var w strings.Builder
	w.WriteString("flowchart TB\n")
	for _, v := range g.topics {
		fmt.Fprintf(&w, "  %s\n", mermaidVertex(v))
	}
	for _, group := range g.groups {
		fmt.Fprintf(&w, "  subgraph %s[%s]\n", group.id, mermaidQuote(group.label))
		for _, v := range group.vertices {
			fmt.Fprintf(&w, "    %s\n", mermaidVertex(v))
		}
		w.WriteString("  end\n")
	}
	for _, e := range g.edges {
		arrow := "-->"
		if e.state {
			arrow = "-.-"
		}
		fmt.Fprintf(&w, "  %s %s %s\n", e.from, arrow, e.to)
	}
	return w.String()
}

func mermaidVertex(v graphVertex) string {
	label := mermaidQuote(v.lines...)
	switch v.shape {
	case shapeStore:
		return v.id + "[(" + label + ")]"
	case shapeTopic:
		return v.id + "[/" + label + "/]"
	case shapeInternal:
		return v.id + "[\\" + label + "\\]"
	}
	return v.id + "[" + label + "]"
}

// mermaidQuote makes a quoted label. Mermaid has no escapes but entity codes;
// names given with Named may hold anything.
func mermaidQuote(lines ...string) string {
	escape := strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "\r", "", "\n", " ")
	escaped := make([]string, len(lines))
	for i, l := range lines {
		escaped[i] = escape.Replace(l)
	}
	return `"` + strings.Join(escaped, "<br/>") + `"`
}
