package task_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/internal/task"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
	"github.com/tidemill/tidemill/topology"
)

func topic(name string) topology.Topic[string, int64] {
	return topology.Topic[string, int64]{Name: name, Partitions: 1, Key: serde.String, Value: serde.Int64}
}

func newTask(t *testing.T, top *topology.Topology, err error) *task.Task {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	tk, err := task.New(task.Config{App: top.App(), Sub: top.Subs()[0], Engine: memdb.New(), StoreIDs: changelog.StoreIDs{"s": 1},
		CacheBytes: 1 << 20, MaxRecordBytes: 1 << 10, Now: func() time.Time { return time.Unix(0, 0) },
		Placement: func(*topology.TopicDecl) (func([]byte, int32) int32, int32) { return commitlog.Murmur2, 1 }})
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

// fetched is what a poll of topic brings: one batch of records with these times,
// of a log that ends behind the last, or later.
func fetched(t *testing.T, name string, base, end int64, times ...int64) commitlog.Fetched {
	t.Helper()
	f := commitlog.Fetched{TopicPartition: commitlog.TopicPartition{Topic: name}, Next: base + int64(len(times)), StableEnd: end}
	if len(times) == 0 {
		return f
	}
	var b recordbatch.Builder
	for _, at := range times {
		value, err := serde.Int64.Append(nil, at)
		if err != nil {
			t.Fatal(err)
		}
		b.Append(at, []byte("k"), value, nil)
	}
	raw := b.Seal(recordbatch.NoProducer, false)
	if _, err := recordbatch.Rebase(raw, base); err != nil {
		t.Fatal(err)
	}
	batch, _, err := recordbatch.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	f.Batches = []recordbatch.Batch{batch}
	return f
}

func merged() (*topology.Topology, error) {
	b := topology.New("merged")
	topology.Source(b, topic("a"), topic("b")).To(topic("out"))
	return b.Build()
}

// An empty input blocks while the log has more of it, unless that is permitted.
func TestBlocked(t *testing.T) {
	top, err := merged()
	tk := newTask(t, top, err)
	tk.Feed(fetched(t, "a", 0, 2, 10, 20))
	tk.Feed(fetched(t, "b", 0, 1))
	if n, err := tk.Step(10, false); n != 0 || err != nil || !tk.Blocked() {
		t.Errorf("%d records taken, blocked %v, %v; want to wait for b", n, tk.Blocked(), err)
	}
	tk.Feed(fetched(t, "b", 0, 1, 15))
	if n, err := tk.Step(10, false); n != 3 || err != nil || tk.Blocked() {
		t.Errorf("%d records taken, blocked %v, %v; want all", n, tk.Blocked(), err)
	}
	tk.Feed(fetched(t, "a", 2, 3, 30))
	tk.Feed(fetched(t, "b", 1, 2))
	if n, err := tk.Step(10, true); n != 1 || err != nil {
		t.Errorf("%d records taken, %v; want the one that need not wait", n, err)
	}
}

// A record counts as processed only when it is: a staged head does not.
func TestPositionTrailsTheHead(t *testing.T) {
	top, err := merged()
	tk := newTask(t, top, err)
	tk.Feed(fetched(t, "a", 0, 2, 10, 30))
	tk.Feed(fetched(t, "b", 0, 1, 20))
	if n, err := tk.Step(2, false); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	at := tk.Inputs()
	if a, b := at[commitlog.TopicPartition{Topic: "a"}], at[commitlog.TopicPartition{Topic: "b"}]; a != 1 || b != 1 {
		t.Errorf("positions %d and %d, want 1 and 1", a, b)
	}
}

// brittle panics when it encodes 13.
type brittle struct{ serde.Serde[int64] }

func (b brittle) Append(dst []byte, v int64) ([]byte, error) {
	if v == 13 {
		panic("brittle")
	}
	return b.Serde.Append(dst, v)
}

// The serde of a store runs at the commit: its panic is an error that names the
// store.
func TestPanicOfStoreSerde(t *testing.T) {
	b := topology.New("brittle")
	store := state.KeyValue("s", serde.String, serde.Serde[int64](brittle{serde.Int64}))
	topology.Reduce(topology.Source(b, topic("a")).GroupByKey(), func(_, v int64) int64 { return v }, store)
	top, err := b.Build()
	tk := newTask(t, top, err)
	tk.Feed(fetched(t, "a", 0, 1, 13))
	if _, err := tk.Step(10, false); err != nil {
		t.Fatal(err)
	}
	_, err = tk.Commit()
	var record *task.RecordError
	if !errors.As(err, &record) || record.Err.Node != "store s" || !strings.Contains(err.Error(), "brittle") {
		t.Errorf("commit: %v; want a record error that names store s", err)
	}
}
