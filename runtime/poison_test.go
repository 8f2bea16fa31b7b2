package runtime_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

var (
	orders      = topology.Topic[string, int64]{Name: "orders", Partitions: 1, Key: serde.String, Value: serde.Int64}
	orderCounts = topology.Topic[string, int64]{Name: "order-counts", Partitions: 1, Key: serde.String, Value: serde.Int64}
	orderCount  = state.KeyValue("order-count", serde.String, serde.Int64)
	deadLetters = topology.Topic[processor.Opt[string], []byte]{Name: "orders-app-dead-letters", Partitions: 1,
		Key: serde.Nullable(serde.String), Value: serde.Bytes}
)

var errUnlucky = errors.New("unlucky number")

// countOrders counts orders by key, and then fails on 13 and panics on 666, so
// that a poison record has changed state and output before it fails.
func countOrders() (*topology.Topology, error) {
	b := topology.New("orders-app")
	in := topology.Source(b, orders)
	counted := topology.Count(in.GroupByKey(), orderCount).ToStream()
	counted.To(orderCounts)
	check := topology.Process(in, "check", func() processor.Processor[string, int64, string, int64] {
		return processor.Func[string, int64, string, int64](
			func(ctx processor.Context[string, int64], r processor.Record[string, int64]) error {
				switch r.Value {
				case 13:
					return errUnlucky
				case 666:
					panic("the beast")
				}
				return nil
			})
	})
	_ = check
	return b.Build()
}

// sendOrders sends good, failing, panicking and undecodable records.
func sendOrders(t *testing.T, app *runtime.App) (good, bad int) {
	t.Helper()
	var records []query.Produced
	for i := range 60 {
		value := []byte{0, 0, 0, 0, 0, 0, 0, byte(i%10 + 20)}
		switch {
		case i%20 == 7:
			value[7] = 13
		case i%20 == 11:
			value[6], value[7] = 666>>8, 666&0xff
		case i%20 == 15:
			value = []byte("not a number")
		default:
			good++
			bad--
		}
		bad++
		records = append(records, query.Produced{Key: fmt.Appendf(nil, "k%d", i%3), Value: value, Time: time.UnixMilli(int64(i))})
	}
	if _, err := app.Produce(t.Context(), orders.Name, records); err != nil {
		t.Fatal(err)
	}
	return good, bad
}

func TestPoisonFailNamesTheRecord(t *testing.T) {
	top, err := countOrders()
	if err != nil {
		t.Fatal(err)
	}
	app, err := runtime.New(t.Context(), top, runtime.Config{Dir: "data", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	sendOrders(t, app)
	err = app.Run(t.Context())
	if !errors.Is(err, errUnlucky) || !strings.Contains(err.Error(), "orders-0@7") || !strings.Contains(err.Error(), "node check") {
		t.Fatalf("Run: %v; want the error of the processor, naming node and record", err)
	}
}

// Under skip and dead-letter a poison record leaves no effect but its letter.
func TestPoisonLeavesNoOtherEffect(t *testing.T) {
	for _, policy := range []runtime.Poison{runtime.PoisonSkip, runtime.PoisonDeadLetter} {
		for _, interval := range []time.Duration{time.Microsecond, time.Hour} {
			t.Run(fmt.Sprintf("policy=%d/interval=%v", policy, interval), func(t *testing.T) {
				app, _ := start(t, countOrders, runtime.Config{Dir: "data", FS: vfs.NewMem(), Poison: policy,
					CommitInterval: min(interval, 50*time.Millisecond)})
				good, bad := sendOrders(t, app)
				if err := app.WaitProcessed(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := sumCounts(t, app); n != good {
					t.Errorf("the counts add up to %d, want the %d good records", n, good)
				}
				if n := readAll(t, app, orderCounts); len(n) != good {
					t.Errorf("%d results, want one per good record, %d", len(n), good)
				}
				if policy == runtime.PoisonDeadLetter {
					checkLetters(t, readAll(t, app, deadLetters), bad)
				}
			})
		}
	}
}

func sumCounts(t *testing.T, app *runtime.App) (sum int) {
	t.Helper()
	for i := range 3 {
		n, _, _, err := query.Get(t.Context(), app, orderCount, fmt.Sprintf("k%d", i))
		if err != nil {
			t.Fatal(err)
		}
		sum += int(n)
	}
	return sum
}

func checkLetters(t *testing.T, letters []processor.Record[processor.Opt[string], []byte], want int) {
	t.Helper()
	seen := map[string]string{}
	for _, l := range letters {
		h := map[string]string{}
		for _, header := range l.Headers {
			h[header.Key] = string(header.Value)
		}
		offset := h["tidemill.source.offset"]
		if _, twice := seen[offset]; twice {
			t.Errorf("offset %s has two dead letters", offset)
		}
		seen[offset] = h["tidemill.error.class"]
		if h["tidemill.source.topic"] != orders.Name || h["tidemill.error"] == "" || h["tidemill.task"] != "orders-app_0" {
			t.Errorf("headers of a dead letter: %v", h)
		}
		if h["tidemill.error.class"] == "panic" && !strings.Contains(h["tidemill.error.stack"], "goroutine") {
			t.Errorf("the dead letter of a panic has no stack: %v", h)
		}
	}
	if len(seen) != want || seen["7"] != "process" || seen["11"] != "panic" || seen["15"] != "decode" {
		t.Errorf("dead letters by offset: %v, want %d", seen, want)
	}
}

// readAll returns the committed records of a topic.
func readAll[K, V any](t *testing.T, app *runtime.App, topic topology.Topic[K, V]) (records []processor.Record[K, V]) {
	t.Helper()
	for r, err := range runtime.ReadAll(t.Context(), app, topic) {
		must(t, err)
		records = append(records, r)
	}
	return records
}
