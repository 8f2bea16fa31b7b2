package topology

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files of testdata/describe instead of comparing with them")

type reading struct{ KWh float64 }

type mean struct{ Sum, N float64 }

func (m mean) add(r reading) mean { return mean{m.Sum + r.KWh, m.N + 1} }
func (m mean) value() float64     { return m.Sum / m.N }

// meters is the example of the package comment.
func meters(b *Builder) {
	readings := Topic[string, reading]{Name: "meter-readings", Partitions: 4, Key: serde.String, Value: serde.JSON[reading](),
		EventTime: func(reading) time.Time { return time.UnixMilli(0) }}
	averages := Topic[state.Windowed[string], float64]{Name: "meter-hourly-average", Partitions: 4,
		Key: serde.TimeWindowed(serde.String, time.Hour), Value: serde.Float64}
	valid := Source(b, readings).Filter(func(_ string, r reading) bool { return r.KWh >= 0 })
	byHour := valid.GroupByKey().WindowedBy(Tumbling(time.Hour).Grace(15 * time.Minute))
	means := Aggregate(byHour, Fold(mean.add), state.Window("hourly-mean", serde.String, serde.JSON[mean]()))
	MapValues(means.ToStream(), mean.value).To(averages)
}

// routing has a branch, a merge, a grouping through a topic, and processors that
// share a store.
func routing(b *Builder) {
	orders := Source(b.Sub("orders"), partitioned("orders", 0), partitioned("legacy-orders", 0))
	ports := orders.Branch(always, always)
	big := ports[0].Named("big \"orders\" <#1>")
	rest := ports[1].Merge(ports[2])
	seen, windows := rowsStore("seen"), windowStore("recent").Retention(time.Hour)
	first := Process(big, "first-seen", each(nil), seen, windows)
	Process(rest, "audit", each(nil), seen)
	byCustomer := partitioned("orders-by-customer", 8)
	byCustomer.Compact, byCustomer.Retention = true, 48*time.Hour
	totals := Aggregate(GroupBy(first, func(k string, _ int64) string { return k }, byCustomer), Fold(plus), rowsStore("totals"))
	totals.ToStream().To(numbers("customer-totals"))
	Source(b.Sub("payments"), numbers("payments")).Named("paid").To(numbers("receipts"))
}

// hopping emits on close, and samples below.
func hopping(b *Builder) {
	b.AcceptSampledUpdates("latest")
	in := Source(b, partitioned("clicks", 1))
	w := in.GroupByKey().WindowedBy(Hopping(10*time.Second, 3*time.Second).Grace(time.Second)).Emit(OnClose)
	Count(w, windowStore("clicks-per-window").Retention(time.Minute)).ToStream().To(windowed("click-counts", 10_000))
	latest := Reduce(in.GroupByKey().Emit(OnCommit), func(_, v int64) int64 { return v }, rowsStore("latest"))
	Updates(AggregateOpt(latest.ToStream().GroupByKey(), deleteOnZero, rowsStore("changes"))).To(deletable("changes-out"))
}

func TestDescribe(t *testing.T) {
	for name, declare := range map[string]func(*Builder){"meters": meters, "routing": routing, "hopping": hopping} {
		b := New(name)
		declare(b)
		topo, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := topo.DescribeJSON()
		if err != nil {
			t.Fatal(err)
		}
		for suffix, got := range map[string]string{
			"txt": topo.Describe(), "json": string(asJSON), "dot": topo.DescribeDOT(), "mmd": topo.DescribeMermaid(),
		} {
			golden(t, filepath.Join("testdata", "describe", name+"."+suffix), got)
		}
	}
}

// golden compares got with a file, or writes it if -rewrite is set.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; if it should, run the test with -rewrite. Got:\n%s", path, got)
	}
}

// The JSON form reads back as the Description it was made of.
func TestDescribeJSONReadsBack(t *testing.T) {
	b := New("routing")
	routing(b)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	text, err := topo.DescribeJSON()
	if err != nil {
		t.Fatal(err)
	}
	var back Description
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.MarshalIndent(back, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(text)) != string(again) {
		t.Fatalf("%s\nreads back as\n%s", text, again)
	}
}
