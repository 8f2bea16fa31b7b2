package gokaprocessor

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
)

// The insides that this package reads are those of one version of goka. When this
// fails, look through options.go and graph.go before Pin is moved.
func TestPin(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), "github.com/lovoo/goka "+Pin+"\n") && !strings.Contains(string(mod), "github.com/lovoo/goka "+Pin+" //") {
		t.Errorf("go.mod does not require goka %s", Pin)
	}
	if err := optionsReadable(); err != nil {
		t.Error(err)
	}
}

func TestFromGroupGraph(t *testing.T) {
	var called []string
	callback := func(name string) goka.ProcessCallback {
		return func(goka.Context, any) { called = append(called, name) }
	}
	g, err := FromGroupGraphUnsafe(goka.DefineGroup("g",
		goka.Input("a", new(codec.String), callback("a")),
		goka.Inputs(goka.Streams{"b", "c"}, new(codec.Int64), callback("b or c")),
		goka.Loop(new(codec.Bytes), callback("loop")),
		goka.Persist(new(codec.Int64)),
		goka.Join("joined", new(codec.String)),
		goka.Lookup("looked-up", new(codec.Bytes)),
		goka.Output("out", new(codec.String)),
	))
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range g.Inputs {
		called = append(called, string(in.Topic)+":")
		in.Callback(nil, nil)
	}
	g.Loop.Callback(nil, nil)
	if got, want := strings.Join(called, " "), "a: a b: b or c c: b or c loop"; got != want {
		t.Errorf("callbacks called %q, want %q", got, want)
	}
	g.Inputs, g.Loop.Callback = nil, nil
	want := Group{Name: "g", Loop: &Loop{Codec: new(codec.Bytes)}, Persist: new(codec.Int64),
		Joins:   []Table{{Topic: "joined", Codec: new(codec.String)}},
		Lookups: []Table{{Topic: "looked-up", Codec: new(codec.Bytes)}},
		Outputs: []Output{{Topic: "out", Codec: new(codec.String)}}}
	if !reflect.DeepEqual(g, want) {
		t.Errorf("group %+v, want %+v", g, want)
	}
}

func TestFromGroupGraphRefuses(t *testing.T) {
	in := goka.Input("a", new(codec.String), func(goka.Context, any) {})
	for name, graph := range map[string]*goka.GroupGraph{
		"nil":                         nil,
		"no input":                    goka.DefineGroup("g"),
		"visitor v has no equivalent": goka.DefineGroup("g", in, goka.Persist(new(codec.Int64)), goka.Visitor("v", nil)),
		"no callback for topic a":     goka.DefineGroup("g", goka.Input("a", new(codec.String), nil)),
	} {
		if _, err := FromGroupGraphUnsafe(graph); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	// A control for the checks of the insides.
	changed := struct {
		Callbacks map[string]func(goka.Context, any)
		Other     int
	}{}
	for _, field := range []string{"Callbacks", "Other", "callbacks"} {
		if err := checkCallbacks(reflect.ValueOf(&changed).Elem().FieldByName(field)); err == nil {
			t.Errorf("field %s passes for goka's callbacks", field)
		}
	}
}
