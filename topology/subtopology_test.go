package topology

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// subNames returns "name(sources)" of every sub-topology.
func subNames(topo *Topology) (out []string) {
	for _, s := range topo.Subs() {
		var sources []string
		for _, topic := range s.Sources {
			sources = append(sources, topic.Name)
		}
		out = append(out, fmt.Sprintf("%s(%s)", s.Name, strings.Join(sources, " ")))
	}
	return out
}

func partitioned(name string, n int32) Topic[string, int64] {
	t := numbers(name)
	t.Partitions = n
	return t
}

func TestSubTopologyNames(t *testing.T) {
	for name, c := range map[string]struct {
		declare func(b *Builder)
		want    []string
	}{
		"the only part has the application's name": {
			func(b *Builder) { Source(b, numbers("in")) }, []string{"app(in)"}},
		"behind a repartition topic it has the topic's": {
			func(b *Builder) { Source(b, numbers("in")).Repartition(numbers("re")).Repartition(numbers("again")) },
			[]string{"app(in)", "re(re)", "again(again)"}},
		"of several repartition topics the first by name": {
			func(b *Builder) {
				in := Source(b, numbers("in"))
				in.Repartition(numbers("z")).Merge(in.Repartition(numbers("a")))
			}, []string{"app(in)", "a(z a)"}},
		"a part with an external source takes the application's": {
			func(b *Builder) {
				x := Source(b.Sub("left"), numbers("x")).Repartition(numbers("re"))
				x.Merge(Source(b, numbers("y")))
			}, []string{"left(x)", "app(re y)"}},
		"Sub names each of several parts": {
			func(b *Builder) { Source(b.Sub("one"), numbers("x")); Source(b.Sub("two"), numbers("y")) },
			[]string{"one(x)", "two(y)"}},
		"one named source names its part": {
			func(b *Builder) { Source(b, numbers("x")).Merge(Source(b.Sub("two"), numbers("y"))) }, []string{"two(x y)"}},
		"the name of a part does not pass its repartition topic": {
			func(b *Builder) {
				customers := Source(b.Sub("customers"), numbers("customers"))
				customers.Merge(Source(b.Sub("orders"), numbers("orders")).Repartition(numbers("by-customer")))
			}, []string{"customers(customers by-customer)", "orders(orders)"}},
		"also when the repartition topic is declared first": {
			func(b *Builder) {
				orders := Source(b.Sub("orders"), numbers("orders")).Repartition(numbers("by-customer"))
				Source(b.Sub("customers"), numbers("customers")).Merge(orders)
			}, []string{"orders(orders)", "customers(by-customer customers)"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := New("app")
			c.declare(b)
			topo, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			if got := subNames(topo); !slices.Equal(got, c.want) {
				t.Fatalf("%v, want %v", got, c.want)
			}
		})
	}
}

// Inserting a stateless operator, in front of everything, changes no name.
func TestStatelessOperatorsChangeNoName(t *testing.T) {
	shape := func(extra bool) Shape {
		b := New("app")
		in := Source(b, numbers("in"))
		if extra {
			in.Filter(always).Peek(func(numberRecord) {})
			in = in.Filter(always).Merge(in)
		}
		Process(GroupBy(in, func(k string, _ int64) string { return k }, numbers("re")).g.stream(), "p", each(nil), rowsStore("s"))
		topo, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return topo.Shape()
	}
	if before, after := fmt.Sprint(shape(false)), fmt.Sprint(shape(true)); before != after {
		t.Fatalf("%s\n%s", before, after)
	}
}

// stream is the stream behind a grouping.
func (g grouping) stream() *Stream[string, int64] {
	return &Stream[string, int64]{b: g.b, n: g.n, streamFacts: g.streamFacts}
}

func TestCoPartitioning(t *testing.T) {
	place := func([]byte, int32) int32 { return 0 }
	for name, c := range map[string]struct {
		topics []Topic[string, int64]
		want   string // "" is no error
	}{
		"equal":                {[]Topic[string, int64]{partitioned("x", 4), partitioned("y", 4)}, ""},
		"unknown":              {[]Topic[string, int64]{partitioned("x", 4), partitioned("y", 0)}, ""},
		"different":            {[]Topic[string, int64]{partitioned("x", 4), partitioned("y", 8)}, "y: topics x and y are processed together but have 4 and 8 partitions; give"},
		"different behind one": {[]Topic[string, int64]{partitioned("x", 0), partitioned("y", 4), partitioned("z", 8)}, "z: topics y and z are processed together but have 4 and 8 partitions; give"},
		"partitioners": {[]Topic[string, int64]{numbers("x"), {Name: "y", Partitions: 1, Key: numbers("").Key, Value: numbers("").Value,
			Partitioner: &Partitioner{"mine", place}}}, "y: topics x and y are processed together but partitioned by murmur2 and mine; use one"},
	} {
		t.Run(name, func(t *testing.T) {
			b := New("app")
			Source(b, c.topics...)
			_, err := b.Build()
			got := buildErrors(err)
			if c.want == "" && err != nil || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
				t.Fatalf("errors %v, want %s", got, c.want)
			}
		})
	}
}
