package topology

import (
	"cmp"
	"slices"

	"github.com/tidemill/tidemill/state"
)

// Description is a topology as plain data: the one form from which the text, the
// JSON and the graphs are made. Fields are only ever added to its JSON form.
type Description struct {
	App             string                   `json:"app"`
	SubTopologies   []SubTopologyDescription `json:"sub_topologies"`
	InternalTopics  []TopicDescription       `json:"internal_topics,omitempty"`
	GlobalTables    []GlobalDescription      `json:"global_tables,omitempty"`
	AcceptedSamples []string                 `json:"accepted_samples,omitempty"` // stores given to AcceptSampledUpdates
}

// GlobalDescription is one global table.
type GlobalDescription struct {
	Topic TopicDescription `json:"topic"`
	Store StoreDescription `json:"store"`
}

// SubTopologyDescription is one part of a topology: what a task runs.
type SubTopologyDescription struct {
	// Name is durable: task ids are made of it.
	Name string `json:"name"`
	// Tasks is how many there are: the partitions of the sources. 0 means that no
	// source says how many it has, so the log decides.
	Tasks   int32              `json:"tasks,omitempty"`
	Sources []TopicDescription `json:"sources"`
	Nodes   []NodeDescription  `json:"nodes"`
	Stores  []StoreDescription `json:"stores,omitempty"`
	Sinks   []TopicDescription `json:"sinks,omitempty"`
}

// NodeDescription is one operator.
type NodeDescription struct {
	// ID tells nodes of one description apart. It is the place in the declaration
	// and changes when operators are inserted before it.
	ID   int    `json:"id"`
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Process is the durable name of a processor.
	Process string `json:"process,omitempty"`
	// Topic is what a source reads or a sink writes.
	Topic    string   `json:"topic,omitempty"`
	Details  []Detail `json:"details,omitempty"`
	Children []int    `json:"children,omitempty"` // in the order in which they get a record
	Stores   []string `json:"stores,omitempty"`
}

// Detail is one property of a node, in words.
type Detail struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TopicDescription is one use of a topic.
type TopicDescription struct {
	Name        string `json:"name"`
	Partitions  int32  `json:"partitions,omitempty"` // 0: as the log has it
	Key         string `json:"key"`                  // names of the serdes
	Value       string `json:"value"`
	Partitioner string `json:"partitioner"`
	Reset       string `json:"reset,omitempty"` // of sources: where to start without a position
	RetentionMS int64  `json:"retention_ms,omitempty"`
	Compact     bool   `json:"compact,omitempty"`
	Internal    bool   `json:"internal,omitempty"` // a repartition topic of the application
}

// StoreDescription is one state store.
type StoreDescription struct {
	Name         string `json:"name"`
	Kind         string `json:"kind"`
	Key          string `json:"key"` // names of the serdes
	Value        string `json:"value"`
	WindowSizeMS int64  `json:"window_size_ms,omitempty"`  // 0 if a processor writes the windows
	RetentionMS  int64  `json:"retention_ms,omitempty"`    // of window stores, in stream time
	Changelog    string `json:"changelog_topic,omitempty"` // "" is the one named after application and store
}

// Description returns the topology as plain data.
func (t *Topology) Description() Description {
	d := Description{App: t.d.app}
	for _, s := range t.subs {
		d.SubTopologies = append(d.SubTopologies, t.describeSub(s))
	}
	for _, topic := range t.Topics() {
		if topic.Internal {
			d.InternalTopics = append(d.InternalTopics, describeTopic(topic))
		}
	}
	for _, g := range t.Globals() {
		d.GlobalTables = append(d.GlobalTables, GlobalDescription{Topic: describeTopic(g.Topic), Store: describeStore(g.Store)})
	}
	for store := range t.d.sampled {
		d.AcceptedSamples = append(d.AcceptedSamples, store)
	}
	slices.Sort(d.AcceptedSamples)
	return d
}

func (t *Topology) describeSub(s *subTopology) SubTopologyDescription {
	d := SubTopologyDescription{Name: s.name}
	sinks := map[string]bool{}
	for _, n := range s.nodes {
		d.Nodes = append(d.Nodes, describeNode(n))
		switch n.kind {
		case kindSource:
			source := describeTopic(n.topic)
			if !source.Internal {
				source.Reset = n.topic.Reset.String()
			}
			d.Sources = append(d.Sources, source)
			d.Tasks = max(d.Tasks, n.topic.Partitions)
		case kindSink:
			if !sinks[n.topic.Name] {
				sinks[n.topic.Name] = true
				d.Sinks = append(d.Sinks, describeTopic(n.topic))
			}
		}
	}
	for _, name := range s.stores {
		d.Stores = append(d.Stores, describeStore(t.d.stores[name].spec))
	}
	slices.SortFunc(d.Stores, func(a, b StoreDescription) int { return cmp.Compare(a.Name, b.Name) })
	return d
}

func describeNode(n *node) NodeDescription {
	d := NodeDescription{ID: n.id, Name: n.name, Kind: n.kind, Process: n.process, Stores: n.stores}
	if n.topic != nil {
		d.Topic = n.topic.Name
	}
	for i := 0; i+1 < len(n.detail); i += 2 {
		d.Details = append(d.Details, Detail{Name: n.detail[i], Value: n.detail[i+1]})
	}
	for _, c := range n.children {
		d.Children = append(d.Children, c.id)
	}
	return d
}

func describeTopic(t *TopicDecl) TopicDescription {
	return TopicDescription{
		Name: t.Name, Partitions: t.Partitions, Key: t.KeyName, Value: t.ValueName,
		Partitioner: partitionerName(t.Partitioner), RetentionMS: t.Retention.Milliseconds(),
		Compact: t.Compact, Internal: t.Internal,
	}
}

func describeStore(s state.Spec) StoreDescription {
	return StoreDescription{
		Name: s.Name, Kind: s.Kind.String(), Key: s.Key, Value: s.Value,
		WindowSizeMS: s.WindowSize.Milliseconds(), RetentionMS: s.Retention.Milliseconds(), Changelog: s.Changelog,
	}
}
