package topology

import (
	"cmp"
	"slices"
)

// Shape is the durable part of a topology: what a program that takes over the
// state of an earlier version must agree with. It has a stable JSON form, and
// its lists are sorted by name, so that equal shapes give equal bytes.
//
// It leaves out what may change freely: sinks, stateless operators, retention,
// grace, emission, schedules.
type Shape struct {
	App         string             `json:"app"`
	Sources     []ShapeSource      `json:"sources"`
	Stores      []ShapeStore       `json:"stores,omitempty"`
	Repartition []ShapeRepartition `json:"repartition_topics,omitempty"`
	Subs        []ShapeSub         `json:"sub_topologies"`
	Processors  []string           `json:"processors,omitempty"` // names of Process
}

// ShapeSource is a topic that the topology reads and does not own.
type ShapeSource struct {
	Topic string `json:"topic"`
	Key   string `json:"key"` // names of the serdes
	Value string `json:"value"`
}

// ShapeStore is a store and the sub-topology whose tasks hold it.
type ShapeStore struct {
	Name         string `json:"name"`
	Sub          string `json:"sub_topology"`
	Kind         string `json:"kind"`
	Key          string `json:"key"` // names of the serdes
	Value        string `json:"value"`
	WindowSizeMS int64  `json:"window_size_ms,omitempty"`
	Changelog    string `json:"changelog_topic,omitempty"` // "" is the default one
}

// ShapeRepartition is a repartition topic.
type ShapeRepartition struct {
	Topic       string `json:"topic"`
	Partitions  int32  `json:"partitions,omitempty"` // 0: the default of the runtime
	Partitioner string `json:"partitioner"`
	Key         string `json:"key"` // names of the serdes
	Value       string `json:"value"`
}

// ShapeSub is a sub-topology by what ties it to the log: its sources (repartition
// topics among them) and its stores.
type ShapeSub struct {
	Name    string   `json:"name"`
	Sources []string `json:"sources"`
	Stores  []string `json:"stores,omitempty"`
}

// Shape returns the durable shape.
func (t *Topology) Shape() Shape {
	s := Shape{App: t.d.app}
	for _, topic := range t.Topics() {
		switch {
		case topic.Internal:
			s.Repartition = append(s.Repartition, ShapeRepartition{Topic: topic.Name, Partitions: topic.Partitions,
				Partitioner: partitionerName(topic.Partitioner), Key: topic.KeyName, Value: topic.ValueName})
		case topic.Source:
			s.Sources = append(s.Sources, ShapeSource{Topic: topic.Name, Key: topic.KeyName, Value: topic.ValueName})
		}
	}
	for _, sub := range t.subs {
		s.addSub(sub, t.d.stores)
	}
	slices.SortFunc(s.Sources, func(a, b ShapeSource) int { return cmp.Compare(a.Topic, b.Topic) })
	slices.SortFunc(s.Stores, func(a, b ShapeStore) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Repartition, func(a, b ShapeRepartition) int { return cmp.Compare(a.Topic, b.Topic) })
	slices.SortFunc(s.Subs, func(a, b ShapeSub) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(s.Processors)
	return s
}

func (s *Shape) addSub(sub *subTopology, stores map[string]*storeDecl) {
	out := ShapeSub{Name: sub.name}
	for _, n := range sub.sources {
		out.Sources = append(out.Sources, n.topic.Name)
	}
	for _, name := range sub.stores {
		spec := stores[name].spec
		out.Stores = append(out.Stores, name)
		s.Stores = append(s.Stores, ShapeStore{Name: name, Sub: sub.name, Kind: spec.Kind.String(),
			Key: spec.Key, Value: spec.Value, WindowSizeMS: spec.WindowSize.Milliseconds(), Changelog: spec.Changelog})
	}
	for _, n := range sub.nodes {
		if n.process != "" {
			s.Processors = append(s.Processors, n.process)
		}
	}
	slices.Sort(out.Sources)
	slices.Sort(out.Stores)
	s.Subs = append(s.Subs, out)
}
