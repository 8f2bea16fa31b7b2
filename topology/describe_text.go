package topology

import (
	"fmt"
	"strings"
	"time"
)

// Describe returns the topology as text for people: per sub-topology its tasks,
// sources, nodes, stores and sinks, then the internal topics. Every line stands
// for itself, so that a line diff of two versions shows what changed.
func (t *Topology) Describe() string {
	d := t.Description()
	w := &textWriter{}
	w.line(0, "application %s", d.App)
	for _, s := range d.SubTopologies {
		w.line(0, "")
		w.subTopology(s)
	}
	if len(d.InternalTopics) > 0 {
		w.line(0, "")
		w.topics(0, "internal topics", d.InternalTopics)
	}
	if len(d.GlobalTables) > 0 {
		w.line(0, "")
		w.line(0, "global tables")
	}
	for _, g := range d.GlobalTables {
		w.line(1, "%s: %s", g.Store.Name, storeWords(g.Store))
		w.line(2, "from %s: %s", g.Topic.Name, topicWords(g.Topic))
	}
	if len(d.AcceptedSamples) > 0 {
		w.line(0, "")
		w.line(0, "sampled updates accepted: %s", strings.Join(d.AcceptedSamples, ", "))
	}
	return w.String()
}

type textWriter struct{ strings.Builder }

func (w *textWriter) line(depth int, format string, args ...any) {
	w.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

func (w *textWriter) subTopology(s SubTopologyDescription) {
	tasks := "as many tasks as its sources have partitions"
	if s.Tasks > 0 {
		tasks = plural(int64(s.Tasks), "task")
	}
	w.line(0, "sub-topology %s: %s", s.Name, tasks)
	w.topics(1, "sources", s.Sources)
	w.line(1, "nodes")
	names := map[int]string{}
	for _, n := range s.Nodes {
		names[n.ID] = nodeLabel(n)
	}
	for _, n := range s.Nodes {
		w.node(n, names)
	}
	if len(s.Stores) > 0 {
		w.line(1, "stores")
	}
	for _, store := range s.Stores {
		w.line(2, "%s: %s", store.Name, storeWords(store))
	}
	if len(s.Sinks) > 0 {
		w.topics(1, "sinks", s.Sinks)
	}
}

func (w *textWriter) node(n NodeDescription, names map[int]string) {
	w.line(2, "%s", names[n.ID])
	for _, d := range n.Details {
		w.line(3, "%s: %s", d.Name, d.Value)
	}
	for _, c := range n.Children {
		w.line(3, "-> %s", names[c])
	}
}

func (w *textWriter) topics(depth int, title string, topics []TopicDescription) {
	w.line(depth, "%s", title)
	for _, t := range topics {
		w.line(depth+1, "%s: %s", t.Name, topicWords(t))
	}
}

// nodeLabel is a node's name and, unless the name says it, its kind.
func nodeLabel(n NodeDescription) string {
	if n.Name == fmt.Sprintf("%s-%d", n.Kind, n.ID) {
		return n.Name
	}
	return n.Kind + " " + n.Name
}

func topicWords(t TopicDescription) string {
	words := []string{"partitions of the log"}
	if t.Partitions > 0 {
		words[0] = plural(int64(t.Partitions), "partition")
	}
	words = append(words, "key "+t.Key, "value "+t.Value, "placed by "+t.Partitioner)
	if t.Reset != "" {
		words = append(words, "reset "+t.Reset)
	}
	if t.Compact {
		words = append(words, "compacted")
	}
	if t.RetentionMS > 0 {
		words = append(words, "retention "+millis(t.RetentionMS))
	}
	if t.Internal {
		words = append(words, "internal")
	}
	return strings.Join(words, ", ")
}

func storeWords(s StoreDescription) string {
	words := []string{s.Kind, "key " + s.Key, "value " + s.Value}
	if s.WindowSizeMS > 0 {
		words = append(words, "window size "+millis(s.WindowSizeMS))
	}
	if s.RetentionMS > 0 {
		words = append(words, "retention "+millis(s.RetentionMS))
	}
	if s.Changelog != "" {
		words = append(words, "changelog "+s.Changelog)
	}
	return strings.Join(words, ", ")
}

func millis(n int64) string { return (time.Duration(n) * time.Millisecond).String() }

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
