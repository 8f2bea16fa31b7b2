package topology

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// shapeParts are the parts of the topology of TestShapeDiff that a case changes.
type shapeParts struct {
	app, sub                  string
	in, re                    Topic[string, int64]
	windows                   Windows
	emission                  Emission
	sums                      state.KeyValueStore[string, int64]
	counts                    state.WindowStore[string, int64]
	process                   string
	extra                     func(b *Builder, in *Stream[string, int64])
	sumsBehindRe, withoutSums bool
}

func defaultShape() shapeParts {
	return shapeParts{app: "app", sub: "app", in: numbers("in"), re: partitioned("re", 4), windows: Tumbling(time.Minute),
		sums: rowsStore("sums"), counts: windowStore("counts"), process: "p"}
}

func (p shapeParts) shape(t *testing.T) Shape {
	t.Helper()
	b := New(p.app)
	in := Source(b.Sub(p.sub), p.in)
	re := in.Repartition(p.re)
	Count(re.GroupByKey().WindowedBy(p.windows).Emit(p.emission), p.counts)
	switch {
	case p.withoutSums:
	case p.sumsBehindRe:
		Aggregate(re.GroupByKey(), Fold(plus), p.sums)
	default:
		Aggregate(in.GroupByKey(), Fold(plus), p.sums)
	}
	Process(in, p.process, each(nil))
	if p.extra != nil {
		p.extra(b, in)
	}
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topo.Shape()
}

func TestShapeDiff(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *shapeParts)
		want   []string
	}{
		"nothing": {func(*shapeParts) {}, nil},
		"grace and retention": {func(p *shapeParts) {
			p.windows, p.counts = p.windows.Grace(time.Hour), p.counts.Retention(90*time.Hour)
		}, nil},
		"hopping of one size": {func(p *shapeParts) { p.windows = Hopping(time.Minute, time.Second) }, nil},
		"emission":            {func(p *shapeParts) { p.emission = OnClose }, nil},
		"stateless and a sink": {func(p *shapeParts) {
			p.extra = func(_ *Builder, in *Stream[string, int64]) { in.Filter(always).To(numbers("o")) }
		}, nil},
		"a new store": {func(p *shapeParts) {
			p.extra = func(_ *Builder, in *Stream[string, int64]) { Count(in.GroupByKey(), rowsStore("x")) }
		}, nil},
		"a removed store": {func(p *shapeParts) { p.withoutSums = true }, nil},
		"a new source": {func(p *shapeParts) {
			p.extra = func(b *Builder, in *Stream[string, int64]) { in.Merge(Source(b, numbers("y"))) }
		}, nil},
		"a new sub-topology": {func(p *shapeParts) {
			p.extra = func(b *Builder, _ *Stream[string, int64]) { Source(b.Sub("y"), numbers("y")) }
		}, nil},
		"a renamed processor":    {func(p *shapeParts) { p.process = "q" }, nil},
		"default partitions":     {func(p *shapeParts) { p.re.Partitions = 0 }, nil},
		"partitions of a source": {func(p *shapeParts) { p.in.Partitions = 7 }, nil},
		"the application": {func(p *shapeParts) { p.app = "other" },
			[]string{"the application is called other and was app: its topics, group and tasks are named after it"}},
		"a key serde of a store": {func(p *shapeParts) { p.sums = state.KeyValue("sums", otherName(serde.String), serde.Int64) },
			[]string{"store sums changed its key serde from string to other-string"}},
		"a value serde of a store": {func(p *shapeParts) { p.counts = state.Window("counts", serde.String, otherName(serde.Int64)) },
			[]string{"store counts changed its value serde from int64 to other-int64"}},
		"a window size": {func(p *shapeParts) { p.windows = Tumbling(time.Hour) },
			[]string{"store counts changed its window size from 1m0s to 1h0m0s"}},
		"the kind of a store": {func(p *shapeParts) {
			p.withoutSums = true
			p.extra = func(_ *Builder, in *Stream[string, int64]) {
				Count(in.GroupByKey().WindowedBy(Tumbling(time.Second)), windowStore("sums"))
			}
		}, []string{"store sums changed its kind from key-value to window", "store sums changed its window size from 0s to 1s"}},
		"a store in another sub-topology": {func(p *shapeParts) { p.sumsBehindRe = true },
			[]string{"store sums moved from sub-topology app to re: its rows belong to the tasks of the old one"}},
		"the name of a sub-topology": {func(p *shapeParts) { p.sub = "orders" },
			[]string{"sub-topology app was renamed to orders: the positions and the state of its tasks are kept under the old name"}},
		"serdes of a source": {func(p *shapeParts) { p.in.Key, p.in.Value = otherName(serde.String), otherName(serde.Int64) },
			[]string{"source topic in changed its key serde from string to other-string", "source topic in changed its value serde from int64 to other-int64"}},
		"partitions of a repartition topic": {func(p *shapeParts) { p.re.Partitions = 8 },
			[]string{"repartition topic re changed its partition count from 4 to 8"}},
		"partitioner and serde of a repartition topic": {func(p *shapeParts) {
			p.re.Partitioner = &Partitioner{"mine", func([]byte, int32) int32 { return 0 }}
			p.re.Value = otherName(serde.Int64)
		}, []string{"repartition topic re changed its partitioner from murmur2 to mine", "repartition topic re changed its value serde from int64 to other-int64"}},
		"the name of a repartition topic": {func(p *shapeParts) { p.re.Name = "again" },
			[]string{"sub-topology re was renamed to again: the positions and the state of its tasks are kept under the old name"}},
	} {
		t.Run(name, func(t *testing.T) {
			stored, changed := defaultShape(), defaultShape()
			c.change(&changed)
			got := changed.shape(t).Diff(throughJSON(t, stored.shape(t)))
			if !slices.Equal(got, c.want) {
				t.Fatalf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestShapeDiffFindsAMovedSource(t *testing.T) {
	declare := func(split bool) Shape {
		b := New("app")
		x := Source(b.Sub("x"), numbers("x"))
		if y := Source(b.Sub(map[bool]string{true: "y", false: "x"}[split]), numbers("y")); !split {
			x.Merge(y)
		}
		topo, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return topo.Shape()
	}
	want := []string{"source topic y moved from sub-topology x to y: its position belongs to the tasks of the old one"}
	if got := declare(true).Diff(declare(false)); !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
}

// throughJSON is the way of a stored shape.
func throughJSON(t *testing.T, s Shape) (back Shape) {
	t.Helper()
	text, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || fmt.Sprint(back) != fmt.Sprint(s) {
		t.Fatalf("%v\n%+v\n%+v", err, s, back)
	}
	return back
}

type renamedSerde[T any] struct{ serde.Serde[T] }

func (r renamedSerde[T]) Name() string { return "other-" + r.Serde.Name() }

func otherName[T any](s serde.Serde[T]) serde.Serde[T] { return renamedSerde[T]{s} }

func TestShapeJSON(t *testing.T) {
	text, err := json.MarshalIndent(defaultShape().shape(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/describe/shape.json", string(text)+"\n")
}
