package topology

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

type in = *Stream[string, int64]

// TestBuildErrors lists every mistake that Build finds: the node that it names,
// what is wrong, and the fix. Each is declared alone, so it is the only error.
func TestBuildErrors(t *testing.T) {
	windowSerde := serde.TimeWindowed(serde.String, time.Second)
	with := func(change func(*Topic[string, int64])) func(b *Builder, _ in) {
		return func(b *Builder, in in) {
			topic := numbers("t")
			change(&topic)
			in.To(topic)
		}
	}
	count := func(w Windows, h state.WindowStore[string, int64]) func(*Builder, in) {
		return func(_ *Builder, in in) { Count(in.GroupByKey().WindowedBy(w), h) }
	}
	for want, declare := range map[string]func(b *Builder, in in){
		// topics
		"t: topic t has no key or value serde; set Topic.Key and Topic.Value": with(func(t *Topic[string, int64]) { t.Value = nil }),
		"t: topic t has -1 partitions; use a positive number":                 with(func(t *Topic[string, int64]) { t.Partitions = -1 }),
		`a b: topic: the name "a b" has " " at byte 1; allowed are A-Z`:       with(func(t *Topic[string, int64]) { t.Name = "a b" }),
		"t: the partitioner of topic t has no name or no function; set":       with(func(t *Topic[string, int64]) { t.Partitioner = &Partitioner{Name: "x"} }),
		"out: topic out is declared twice with different partition counts (1 and 2); use one": func(_ *Builder, in in) {
			in.To(numbers("out"))
			wide := numbers("out")
			wide.Partitions = 2
			in.To(wide)
		},
		"out: topic out is declared twice with different value serdes (int64 and string); use": func(_ *Builder, in in) {
			in.To(numbers("out"))
			MapValues(in, func(int64) string { return "" }).To(texts("out"))
		},
		"out: topic out is declared twice with different partitioners (murmur2 and mine); use": func(_ *Builder, in in) {
			in.To(numbers("out"))
			mine := numbers("out")
			mine.Partitioner = &Partitioner{Name: "mine", Place: func([]byte, int32) int32 { return 0 }}
			in.To(mine)
		},
		"in: topic in is read by two sources; use the stream of the first one twice":      func(b *Builder, in in) { in.Merge(Source(b, numbers("in"))) },
		"re: topic re is a repartition topic and is also used directly; give Repartition": func(_ *Builder, in in) { in.To(numbers("re")); in.Repartition(numbers("re")) },
		"re: a repartition topic carries the times of its records; remove EventTime": func(_ *Builder, in in) {
			re := numbers("re")
			re.EventTime = func(int64) time.Time { return time.Time{} }
			in.Repartition(re)
		},
		"w: topic w: serde time-windowed(string,0s): window size 0s is not a positive number": func(_ *Builder, in in) {
			key := func(string, int64) state.Windowed[string] { return state.Windowed[string]{} }
			SelectKey(in, key).To(Topic[state.Windowed[string], int64]{Name: "w", Key: serde.TimeWindowed(serde.String, 0), Value: serde.Int64})
		},
		// stores
		"counts: store counts already belongs to counts; a table needs a store of its own": func(_ *Builder, in in) {
			Count(in.GroupByKey(), rowsStore("counts"))
			Count(in.GroupByKey(), rowsStore("counts"))
		},
		"b: store s is declared twice with a different value serde: stored with int64, declared with string; use one handle": func(_ *Builder, in in) {
			Process(in, "a", each(nil), rowsStore("s"))
			Process(in, "b", each(nil), state.KeyValue("s", serde.String, serde.String))
		},
		`a/b: store: the name "a/b" has "/" at byte 1`: func(_ *Builder, in in) { Count(in.GroupByKey(), rowsStore("a/b")) },
		"counts: store counts has no key or value serde; give both to its handle": func(_ *Builder, in in) {
			Count(in.GroupByKey(), state.KeyValue[string, int64]("counts", serde.String, nil))
		},
		"c: a key-value store does not fit its grouping; make the handle of store c with state.Window": func(_ *Builder, in in) {
			Count(in.GroupByKey().WindowedBy(Tumbling(time.Second)), state.KeyValue("c", windowSerde, serde.Int64))
		},
		"c: a window store does not fit its grouping; make the handle of store c with state.KeyValue": func(_ *Builder, in in) {
			windows := Count(in.GroupByKey().WindowedBy(Tumbling(time.Second)), windowStore("windows"))
			Count(windows.ToStream().GroupByKey(), windowStore("c"))
		},
		"c: retention 9ms is shorter than window size plus grace, 10ms; raise it with": count(Tumbling(ms(7)).Grace(ms(3)), windowStore("c").Retention(ms(9))),
		// windows
		"windowed-by: the windows are empty; use Tumbling, Hopping, Sl":                   count(Windows{}, windowStore("c").Retention(1)),
		"windowed-by: window size 1µs is too short; use at least 1ms":                     count(Tumbling(time.Microsecond), windowStore("c")),
		"windowed-by: advance 11ms must be between 1ms and the window size 10ms":          count(Hopping(ms(10), ms(11)), windowStore("c")),
		"windowed-by: advance 0s must be between 1ms and the window size 10ms":            count(Hopping(ms(10), 0), windowStore("c")),
		"windowed-by: grace -1ms is negative; use 0 or more":                              count(Tumbling(ms(10)).Grace(ms(-1)), windowStore("c")),
		"windowed-by: size, advance and grace must be whole milliseconds":                 count(Tumbling(ms(10)+1), windowStore("c")),
		"windowed-by: size 1s plus grace 2562047h47m16.854775807s is too long; choose a":  count(Tumbling(time.Second).Grace(math.MaxInt64), windowStore("c")),
		"c: emission on close needs windows; insert WindowedBy, or use OnUpdate or OnCom": func(_ *Builder, in in) { Count(in.GroupByKey().Emit(OnClose), rowsStore("c")) },
		// grouping and tables
		"group-by-key: the key may have changed at by-city, so equal keys may lie in different partitions; insert Repartition(topic)": func(_ *Builder, in in) {
			Count(SelectKey(in, func(k string, _ int64) string { return k }).Named("by-city").Filter(always).GroupByKey(), rowsStore("c"))
		},
		"group-by-key: the key may have changed at p, so":                        func(_ *Builder, in in) { Process(in, "p", each(nil)).GroupByKey() },
		"group-by-key: the key of nulls may be null; insert topology.WithKey":    func(b *Builder, in in) { Source(b.Sub("x"), nullable("nulls")).GroupByKey() },
		"to-stream: rows of table c can be deleted; use topology.Updates(table)": func(_ *Builder, in in) { AggregateOpt(in.GroupByKey(), deleteOnZero, rowsStore("c")).ToStream() },
		// functions and processors
		"filter-1: its function is nil; pass one":          func(_ *Builder, in in) { in.Filter(nil) },
		"map-values-1: its function is nil; pass one":      func(_ *Builder, in in) { MapValues[string, int64, int64](in, nil) },
		"branch-1: predicate 1 is nil; pass one":           func(_ *Builder, in in) { in.Branch(always, nil) },
		"c: its function is nil; pass one":                 func(_ *Builder, in in) { Reduce(in.GroupByKey(), nil, rowsStore("c")) },
		"p: its function is nil; pass one that makes a pr": func(_ *Builder, in in) { Process[string, int64, string, int64](in, "p", nil) },
		"p: two processors have this name; it identifies":  func(_ *Builder, in in) { Process(in, "p", each(nil)).Named("other"); Process(in, "p", each(nil)) },
		"process: the name is empty; give Process a valid": func(_ *Builder, in in) { Process(in, "", each(nil)) },
		// names and sub-topologies
		`sub-topology: the name "a b" has " " at byte 1`: func(b *Builder, in in) { in.Merge(Source(b.Sub("a b"), numbers("other"))) },
		"sub-topology app: it has parts that are not connected (sources in and other); declare the sources of each through b.Sub(name)": func(b *Builder, _ in) { Source(b, numbers("other")) },
		"y: connected sources are named one and two with Sub; use one name": func(b *Builder, _ in) {
			Source(b.Sub("one"), numbers("x")).Merge(Source(b.Sub("two"), numbers("y")))
		},
	} {
		b := New("app")
		declare(b, Source(b, numbers("in")))
		_, err := b.Build()
		if got := buildErrors(err); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("got:  %s\nwant: %s", strings.Join(got, "\n      "), want)
		}
	}
}

func texts(name string) Topic[string, string] {
	return Topic[string, string]{Name: name, Partitions: 1, Key: serde.String, Value: serde.String}
}

func TestBuildReturnsAllErrorsAtOnce(t *testing.T) {
	b := New("my app")
	Source(b, numbers("in")).Filter(nil).To(Topic[string, int64]{Name: "out"})
	Source[string, int64](b)
	_, err := b.Build()
	want := []string{
		`application: the name "my app" has " " at byte 2; allowed are A-Z a-z 0-9 . _ -; give topology.New a valid name`,
		"filter-1: its function is nil; pass one",
		"out: topic out has no key or value serde; set Topic.Key and Topic.Value",
		"source: it has no topic; pass at least one",
	}
	if got := buildErrors(err); len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Fatalf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var list *multierror.Error
	errors.As(err, &list)
	for _, e := range list.Errors {
		var declared *DeclarationError
		if !errors.As(e, &declared) || declared.Node == "" || declared.Problem == "" {
			t.Errorf("%v is no DeclarationError with a node and a problem", e)
		}
	}
}

func TestAnEmptyTopologyIsAnError(t *testing.T) {
	_, err := New("app").Build()
	if got := buildErrors(err); len(got) != 1 || got[0] != "topology app: nothing is declared; begin with topology.Source" {
		t.Fatalf("errors %v", got)
	}
}

// What is declared behind Build does not reach the topology.
func TestABuiltTopologyDoesNotChange(t *testing.T) {
	b := New("app")
	in := Source(b, numbers("in"))
	in.To(numbers("out"))
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	before := topo.Describe()
	Count(in.Named("renamed").Filter(always).GroupByKey(), rowsStore("late"))
	in.To(numbers("late"))
	Source(b, numbers("out")).To(numbers("out")) // a topic of the built topology, used once more
	if after := topo.Describe(); after != before || len(topo.Handles()) != 0 || len(topo.Topics()) != 2 {
		t.Fatalf("before:\n%s\nafter:\n%s", before, after)
	}
	if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), "Build was called already") {
		t.Fatalf("the second Build returns %v", err)
	}
}

func TestTopologyLists(t *testing.T) {
	b := New("app")
	in := Source(b, numbers("in"))
	Count(in.GroupByKey(), rowsStore("z"))
	Process(in, "p", each(nil), windowStore("a"))
	in.Repartition(numbers("re")).To(numbers("out"))
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var topics []string
	for _, topic := range topo.Topics() {
		topics = append(topics, topic.Name)
	}
	if want := []string{"in", "re", "out"}; !slices.Equal(topics, want) {
		t.Errorf("topics %v, want %v", topics, want)
	}
	stores := topo.Subs()[0].Stores
	if len(stores) != 2 || stores[0].Name != "a" || stores[1].Name != "z" || stores[0].Retention != state.DefaultWindowRetention {
		t.Errorf("stores %v", stores)
	}
	if h := topo.Handles(); len(h) != 2 || h["z"].Spec().Kind != state.KindKeyValue || topo.App() != "app" {
		t.Errorf("handles %v of %s", h, topo.App())
	}
}
