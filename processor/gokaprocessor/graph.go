package gokaprocessor

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"unsafe"

	"github.com/lovoo/goka"
)

// callbacksField is where a goka.GroupGraph keeps its callbacks, by topic.
const callbacksField = "callbacks"

// FromGroupGraphUnsafe makes a Group of a goka.GroupGraph, so that a program need
// not be written anew at all. goka shows everything of a graph but its callbacks,
// which this function reads from goka's memory: it depends on the insides of
// exactly goka [Pin] and returns an error if they look different. To register the
// callbacks in a [Group] once more is the way that needs no such trust.
//
// Options of the processor are no part of a graph: set NilHandling, DefaultHeaders
// and the rest on the result. A graph with visitors is an error.
func FromGroupGraphUnsafe(graph *goka.GroupGraph) (Group, error) {
	if graph == nil {
		return Group{}, fmt.Errorf("the group graph is nil")
	}
	if err := graph.Validate(); err != nil {
		return Group{}, fmt.Errorf("group %s: %w", graph.Group(), err)
	}
	callbacks, err := callbacksOf(graph)
	if err != nil {
		return Group{}, fmt.Errorf("group %s: %w", graph.Group(), err)
	}
	g := Group{Name: graph.Group()}
	for _, e := range graph.AllEdges() {
		if err := g.addEdge(e, callbacks); err != nil {
			return Group{}, fmt.Errorf("group %s: %w", graph.Group(), err)
		}
	}
	if len(callbacks) > 0 {
		return Group{}, fmt.Errorf("group %s: goka has callbacks for %v, which are no inputs; use goka %s", graph.Group(),
			slices.Sorted(maps.Keys(callbacks)), Pin)
	}
	return g, nil
}

// callbacksOf copies the callbacks of a graph.
func callbacksOf(graph *goka.GroupGraph) (map[string]goka.ProcessCallback, error) {
	field := reflect.ValueOf(graph).Elem().FieldByName(callbacksField)
	if err := checkCallbacks(field); err != nil {
		return nil, err
	}
	// The address is that of a map of the very type that was just checked, in a
	// struct that graph keeps alive.
	callbacks := *(*map[string]goka.ProcessCallback)(unsafe.Pointer(field.UnsafeAddr()))
	return maps.Clone(callbacks), nil
}

// checkCallbacks is an error unless field is what callbacksOf takes it for.
func checkCallbacks(field reflect.Value) error {
	want := reflect.TypeFor[map[string]goka.ProcessCallback]()
	if !field.IsValid() || field.Type() != want || !field.CanAddr() {
		return fmt.Errorf("goka's GroupGraph has changed: it has no field %s of type %s; use goka %s, or register the callbacks in a Group",
			callbacksField, want, Pin)
	}
	return nil
}

// addEdge adds an edge and takes its callback out of callbacks. The type of an
// edge is goka's own affair; its name is all that tells what the edge is.
func (g *Group) addEdge(e goka.Edge, callbacks map[string]goka.ProcessCallback) error {
	take := func() (goka.ProcessCallback, error) {
		callback := callbacks[e.Topic()]
		delete(callbacks, e.Topic())
		if callback == nil {
			return nil, fmt.Errorf("goka has no callback for topic %s", e.Topic())
		}
		return callback, nil
	}
	var err error
	switch kind := fmt.Sprintf("%T", e); kind {
	case "*goka.inputStream":
		in := Input{Topic: goka.Stream(e.Topic()), Codec: e.Codec()}
		in.Callback, err = take()
		g.Inputs = append(g.Inputs, in)
	case "*goka.loopStream":
		g.Loop = &Loop{Codec: e.Codec()}
		g.Loop.Callback, err = take()
	case "*goka.groupTable":
		g.Persist = e.Codec()
	case "*goka.inputTable":
		g.Joins = append(g.Joins, Table{Topic: goka.Table(e.Topic()), Codec: e.Codec()})
	case "*goka.crossTable":
		g.Lookups = append(g.Lookups, Table{Topic: goka.Table(e.Topic()), Codec: e.Codec()})
	case "*goka.outputStream":
		g.Outputs = append(g.Outputs, Output{Topic: goka.Stream(e.Topic()), Codec: e.Codec()})
	case "*goka.visitor":
		return fmt.Errorf("visitor %s has no equivalent; take it out of the graph, and read the table over HTTP", e.Topic())
	default:
		return fmt.Errorf("edge %s is of the unknown kind %s; use goka %s", e, kind, Pin)
	}
	return err
}
