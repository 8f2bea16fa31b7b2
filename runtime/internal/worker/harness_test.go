package worker_test

import (
	"context"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
	"github.com/tidemill/tidemill/topology"
)

func numbers(name string) topology.Topic[string, int64] {
	return topology.Topic[string, int64]{Name: name, Partitions: 1, Key: serde.String, Value: serde.Int64}
}

// harness is one worker on an embedded log, under a clock that the test moves.
type harness struct {
	t       *testing.T
	top     *topology.Topology
	log     *embedded.Log
	cfg     worker.Config
	w       *worker.Worker
	now     time.Time
	commits []worker.CommitStats
	input   commitlog.Writer
}

func newHarness(t *testing.T, top *topology.Topology, err error) *harness {
	t.Helper()
	h := &harness{t: t, top: top, now: time.Unix(1000, 0)}
	h.must(err)
	h.log, err = embedded.Open(embedded.Options{FS: vfs.NewMem(), Dir: "log"})
	h.must(err)
	t.Cleanup(func() {
		h.stop(kill)
		h.must(h.log.Close())
	})
	app := top.App()
	topics := []commitlog.TopicConfig{changelog.PositionsTopicConfig(app), {Name: "dead", Partitions: 1}}
	for _, d := range top.Topics() {
		topics = append(topics, commitlog.TopicConfig{Name: d.Name, Partitions: 1, Internal: d.Internal})
	}
	for _, s := range top.Subs() {
		h.cfg.Tasks = append(h.cfg.Tasks, worker.Assigned{Sub: s})
		for _, spec := range s.Stores {
			topics = append(topics, changelog.StoreTopicConfig(app, spec.Name, 1))
		}
	}
	for _, c := range topics {
		h.must(h.log.CreateTopic(t.Context(), c))
	}
	h.input, err = h.log.OpenWriter(t.Context(), "input")
	h.must(err)
	tasks := h.cfg.Tasks
	h.cfg = worker.Config{
		App: app, Log: h.log, WriterID: "w", Tasks: tasks, LogID: h.log.ID(),
		OpenEngine:     func(string) (state.Engine, error) { return memdb.New(), nil },
		DropEngine:     func(string) error { return nil },
		CommitInterval: time.Hour, CommitBytes: math.MaxInt32, CacheBytes: 1 << 20, BufferBytes: 1 << 20, MaxRecordBytes: 1 << 20,
		MaxIdle: time.Minute, FlushInterval: time.Hour, DeadLetter: "dead",
		Placement: func(*topology.TopicDecl) (func([]byte, int32) int32, int32) { return commitlog.Murmur2, 1 },
		Now:       func() time.Time { return h.now }, Logger: slog.New(slog.DiscardHandler),
		Hooks: worker.Hooks{Committed: func(s worker.CommitStats) { h.commits = append(h.commits, s) }},
	}
	return h
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// start starts the worker, which is killed when the test ends.
func (h *harness) start() {
	h.t.Helper()
	w := worker.New(h.cfg)
	h.w = w
	h.must(w.Start(h.t.Context()))
}

// stop ends the worker as one of its methods does, once.
func (h *harness) stop(end func(*worker.Worker) error) {
	h.t.Helper()
	if w := h.w; w != nil {
		h.w = nil
		h.must(end(w))
	}
}

func kill(w *worker.Worker) error            { return w.Kill() }
func closeCommitting(w *worker.Worker) error { return w.Close(context.Background()) }

// sent is a record of the tests: time and number.
type sent struct{ time, value int64 }

// send appends records with the key k, a batch each.
func (h *harness) send(topic string, records ...sent) {
	h.t.Helper()
	for _, r := range records {
		h.sendBatch(topic, r)
	}
}

// sendBatch appends records as one batch.
func (h *harness) sendBatch(topic string, records ...sent) {
	h.t.Helper()
	var b recordbatch.Builder
	for _, r := range records {
		value, err := serde.Int64.Append(nil, r.value)
		h.must(err)
		b.Append(r.time, []byte("k"), value, nil)
	}
	h.must(h.input.Begin())
	h.must(h.input.Append(commitlog.TopicPartition{Topic: topic}, &b))
	_, err := h.input.Commit(context.Background())
	h.must(err)
}

func (h *harness) turn() worker.Progress {
	h.t.Helper()
	p, err := h.w.Turn(h.t.Context(), 0)
	h.must(err)
	return p
}

// settle takes turns until no record is taken.
func (h *harness) settle() (records int) {
	h.t.Helper()
	for {
		p := h.turn()
		if records += p.Records; p.Records == 0 && !p.Pending {
			return records
		}
	}
}

// end is the number of committed records of a topic.
func (h *harness) end(topic string) int64 {
	h.t.Helper()
	b, err := h.log.Bounds(h.t.Context(), commitlog.TopicPartition{Topic: topic})
	h.must(err)
	return b.StableEnd
}

// passThrough copies topics into "out".
func passThrough(topics ...topology.Topic[string, int64]) (*topology.Topology, error) {
	b := topology.New("pass")
	topology.Source(b, topics...).To(numbers("out"))
	return b.Build()
}

// read returns the committed values of a topic.
func (h *harness) read(topic string) (values []int64) {
	h.t.Helper()
	r, err := h.log.NewReader(commitlog.ReaderOptions{})
	h.must(err)
	defer r.Close()
	h.must(r.Assign(commitlog.TopicPartition{Topic: topic}, 0))
	for end := h.end(topic); int64(len(values)) < end; {
		fetched, err := r.Poll(h.t.Context())
		h.must(err)
		for _, b := range fetched[0].Batches {
			for it := b.Records(); it.Next(); {
				v, err := serde.Int64.Decode(it.Value)
				h.must(err)
				values = append(values, v)
			}
		}
	}
	return values
}
