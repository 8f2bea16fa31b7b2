package gokaprocessor

import (
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/tidemill/tidemill/processor/gokaprocessor/gokacodec"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
	"github.com/tidemill/tidemill/topology"
)

func TestMistakesOfAGroup(t *testing.T) {
	text, nothing := new(codec.String), func(goka.Context, any) {}
	in := []Input{{Topic: "in", Codec: text, Callback: nothing}}
	for want, g := range map[string]Group{
		"the name is empty":                    {Inputs: in},
		"no input stream":                      {Name: "g"},
		"Input topic cannot be empty":          {Name: "g", Inputs: []Input{{Codec: text, Callback: nothing}}},
		"illegal to consume a topic twice":     {Name: "g", Inputs: append(in, in...)},
		"input in has no codec or no callback": {Name: "g", Inputs: []Input{{Topic: "in", Codec: text}}},
		"the loop has no codec or no callback": {Name: "g", Inputs: in, Loop: &Loop{Codec: text}},
		`table "" has no name or no codec`:     {Name: "g", Inputs: in, Joins: []Table{{Codec: text}}},
		`output "out" has no name or no codec`: {Name: "g", Inputs: in, Outputs: []Output{{Topic: "out"}}},
		"should not directly use group table":  {Name: "g", Inputs: in, Outputs: []Output{{Topic: "g-table", Codec: text}}},
		"should not directly use loop stream":  {Name: "g", Inputs: in, Lookups: []Table{{Topic: "g-loop", Codec: text}}},
		"as a joined table and as a lookup":    {Name: "g", Inputs: in, Joins: []Table{{"t", text}}, Lookups: []Table{{"t", text}}},
		"output out is declared twice":         {Name: "g", Inputs: in, Outputs: []Output{{Topic: "out", Codec: text}, {Topic: "out", Codec: text}}},
		"NilHandling is 7":                     {Name: "g", Inputs: in, NilHandling: 7},
		"DeferTimeout is negative":             {Name: "g", Inputs: in, DeferTimeout: -1},
	} {
		if _, err := g.Build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	_, err := Group{NilHandling: 7, DeferTimeout: -1}.Build()
	if err == nil || !strings.Contains(err.Error(), "NilHandling") || !strings.Contains(err.Error(), "DeferTimeout") {
		t.Errorf("not all mistakes at once: %v", err)
	}
}

// Everything durable of a group has the name that goka gives it, and nothing
// depends on the names of Go types.
func TestShapeOfAGroup(t *testing.T) {
	group := ordering()
	group.Persist, group.Loop, group.Partitions = noteCodec{}, &Loop{Codec: new(codec.Bytes), Callback: func(goka.Context, any) {}}, 6
	top, err := group.Build()
	if err != nil {
		t.Fatal(err)
	}
	s := top.Shape()
	var got []string
	for _, source := range s.Sources {
		got = append(got, source.Topic+":"+source.Value)
	}
	for _, store := range s.Stores {
		got = append(got, store.Name+":"+store.Value+":"+store.Changelog)
	}
	for _, r := range s.Repartition {
		got = append(got, r.Topic+":"+r.Value+":"+r.Partitioner)
	}
	got = append(got, s.App, s.Subs[0].Name, s.Processors[0])
	want := "customers:string orders:string prices:goka-int64 customers:string: ordering-table:goka-codec:ordering-table " +
		"ordering-loop:bytes:fnv1a ordering ordering ordering"
	if strings.Join(got, " ") != want || len(s.Subs) != 1 {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	for _, topic := range top.Topics() {
		if topic.Partitioner == nil || topic.Partitioner.Name != topology.FNV1a().Name {
			t.Errorf("topic %s is not placed by FNV-1a", topic.Name)
		}
	}
}

// Two groups, and anything else, fit into one topology.
func TestGroupsShareATopology(t *testing.T) {
	b := topology.New("both")
	for _, g := range []Group{counting(), visiting()} {
		if err := g.Declare(b.Sub(string(g.Name))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Build(); err != nil {
		t.Fatal(err)
	}
}

type named struct{ codec.String }

func (named) Name() string { return "house-style" }

func TestCodecNames(t *testing.T) {
	for want, c := range map[string]goka.Codec{"string": new(codec.String), "bytes": new(codec.Bytes),
		gokacodec.Int64Name: new(codec.Int64), "house-style": &named{}, unnamedCodec: noteCodec{}} {
		if got := codecName(c); got != want {
			t.Errorf("%T is called %s, want %s", c, got, want)
		}
	}
}

// Either codec interface can be used as the other.
var (
	_ gokacodec.Codec = goka.Codec(nil)
	_ goka.Codec      = gokacodec.Codec(nil)
)

func TestSerdes(t *testing.T) {
	t.Run("keys", func(t *testing.T) {
		if k, err := keys.Decode(nil); k != "" || err != nil {
			t.Errorf("the null key is %q, %v", k, err)
		}
		if _, ok := keys.(serde.TextParser); !ok || !serde.IsCanonical(keys) || keys.Name() != serde.String.Name() {
			t.Error("keys are not those of serde.String")
		}
	})
	t.Run("json", func(t *testing.T) {
		s := encodedJSON{encodedSerde{serde.Bytes, unnamedCodec}, plainJSON{}}
		serdetest.Run(t, s, [][]byte{[]byte("{}"), []byte("[1, 2]")}, nil)
		if _, err := s.AppendJSON(nil, []byte("{")); err == nil {
			t.Error("a text that is no JSON has a JSON form")
		}
	})
	t.Run("encoded", func(t *testing.T) {
		serdetest.Run(t, newEncodedSerde(new(codec.Int64)), [][]byte{[]byte("0"), []byte("17")}, nil)
	})
}
