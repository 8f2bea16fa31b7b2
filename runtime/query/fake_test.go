package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
	"github.com/tidemill/tidemill/topology"
)

type person struct {
	Name string `json:"name"`
	Age  int    `json:"age"`
}

var (
	people  = state.KeyValue("people", serde.String, serde.JSON[person]())
	numbers = state.KeyValue("numbers", serde.OrderedInt64, serde.Int64)
	blobs   = state.KeyValue("blobs", serde.Bytes, serde.Bytes)
	totals  = state.KeyValue("totals", serde.String, serde.Int64)
	hourly  = state.Window("hourly", serde.String, serde.Int64)
)

type memDB = memdb.DB

const fakePartitions = 3

// fake is a Backend on one in-memory engine for each partition.
type fake struct {
	handles  map[string]state.Handle
	ids      map[string]uint16
	engines  []*memdb.DB
	horizon  int64
	inactive map[int32]error
	health   Health
	log      *fakeLog
	topics   []*topology.TopicDecl
	appended error // what Produce fails with
	open     struct {
		sync.Mutex
		views int
	}
}

func newFake() *fake {
	f := &fake{
		handles: map[string]state.Handle{}, ids: map[string]uint16{}, inactive: map[int32]error{},
		health: Health{Live: true, Ready: true, Tasks: []TaskHealth{{Task: "app-0", State: "running", Lag: 3}}},
		log:    newFakeLog(),
		topics: []*topology.TopicDecl{
			{Name: "visits", Partitions: 2, KeySerde: serde.String, KeyName: "string", ValueSerde: serde.JSON[person](), ValueName: "json", Source: true},
			{Name: "by-name", Partitions: 1, KeySerde: serde.String, ValueSerde: serde.String, Source: true, Sink: true, Internal: true},
		},
	}
	for i, h := range []state.Handle{people, numbers, blobs, totals, hourly} {
		f.handles[h.Spec().Name], f.ids[h.Spec().Name] = h, uint16(i+1)
	}
	for range fakePartitions {
		f.engines = append(f.engines, memdb.New())
	}
	return f
}

func (f *fake) App() string                             { return "app" }
func (f *fake) Handles() map[string]state.Handle        { return f.handles }
func (f *fake) Partitions(string) int32                 { return fakePartitions }
func (f *fake) PartitionOf(_ string, key []byte) int32  { return commitlog.Murmur2(key, fakePartitions) }
func (f *fake) Health() Health                          { return f.health }
func (f *fake) Log() commitlog.Log                      { return f.log }
func (f *fake) Topics() []*topology.TopicDecl           { return f.topics }
func (f *fake) put(t testing.TB, s string, k, v []byte) { t.Helper(); f.putAt(t, s, 0, k, v) }
func (f *fake) position(partition int32) map[string]int64 {
	return map[string]int64{"visits": 100 + int64(partition)}
}

// counted notices views that are not closed.
type counted struct {
	state.Snapshot
	f *fake
}

func (c counted) Close() error {
	c.f.open.Lock()
	defer c.f.open.Unlock()
	c.f.open.views--
	return c.Snapshot.Close()
}

func (f *fake) Snapshot(store string, partition int32) (*View, error) {
	if err := f.inactive[partition]; err != nil {
		return nil, err
	}
	snap, err := f.engines[partition].Snapshot()
	if err != nil {
		return nil, err
	}
	f.open.Lock()
	defer f.open.Unlock()
	f.open.views++
	spec := f.handles[store].Spec()
	if spec.Kind == state.KindWindow {
		spec.WindowSize, spec.Retention = time.Hour, 24*time.Hour
	}
	return &View{Snapshot: counted{snap, f}, Spec: spec, ID: f.ids[store], Partition: partition,
		Position: f.position(partition), Horizon: f.horizon}, nil
}

func (f *fake) putAt(t testing.TB, store string, start int64, key, value []byte) {
	t.Helper()
	kind := f.handles[store].Spec().Kind
	db := f.engines[f.PartitionOf(store, key)]
	b := db.NewBatch()
	if err := b.Set(state.AppendRowKey(nil, f.ids[store], kind, start, key), state.AppendRowValue(nil, 1_700_000_000_000, value)); err != nil {
		t.Fatal(err)
	}
	if err := db.Apply(b); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) Produce(_ context.Context, topic string, records []Produced) ([]commitlog.RecordID, error) {
	if f.appended != nil {
		return nil, f.appended
	}
	var ids []commitlog.RecordID
	for _, r := range records {
		tp := commitlog.TopicPartition{Topic: topic, Partition: commitlog.Murmur2(r.Key, f.log.configs[topic].Partitions)}
		if r.Partition != nil {
			tp.Partition = *r.Partition
		}
		if r.Time.IsZero() {
			r.Time = time.UnixMilli(1_700_000_000_000)
		}
		ids = append(ids, commitlog.RecordID{TopicPartition: tp, Offset: f.log.append(tp, r)})
	}
	return ids, nil
}

// fakeLog is the part of a log that queries use; every record is its own batch.
type fakeLog struct {
	commitlog.Log
	configs     map[string]commitlog.TopicConfig
	batches     map[commitlog.TopicPartition][]recordbatch.Batch
	start       int64
	headerValue []byte
}

func newFakeLog() *fakeLog {
	l := &fakeLog{configs: map[string]commitlog.TopicConfig{}, batches: map[commitlog.TopicPartition][]recordbatch.Batch{}, headerValue: []byte("http")}
	for _, c := range []commitlog.TopicConfig{
		{Name: "visits", Partitions: 2}, {Name: "raw", Partitions: 1}, {Name: "by-name", Partitions: 1},
		{Name: "app-people-changelog", Partitions: 3, Cleanup: commitlog.CleanupCompact, Internal: true},
	} {
		l.configs[c.Name] = c
	}
	return l
}

func (l *fakeLog) append(tp commitlog.TopicPartition, r Produced) int64 {
	var b recordbatch.Builder
	b.Append(r.Time.UnixMilli(), r.Key, r.Value, []recordbatch.Header{{Key: "from", Value: l.headerValue}})
	raw := bytes.Clone(b.Seal(recordbatch.Producer{}, false))
	offset := l.start + int64(len(l.batches[tp]))
	if _, err := recordbatch.Rebase(raw, offset); err != nil {
		panic(err)
	}
	batch, _, err := recordbatch.Parse(raw)
	if err != nil {
		panic(err)
	}
	l.batches[tp] = append(l.batches[tp], batch)
	return offset
}

func (l *fakeLog) Topics(context.Context) ([]commitlog.TopicConfig, error) {
	var out []commitlog.TopicConfig
	for _, c := range l.configs {
		out = append(out, c)
	}
	return out, nil
}

func (l *fakeLog) Topic(_ context.Context, name string) (commitlog.TopicConfig, error) {
	if strings.ContainsAny(name, "/\\\x00") || strings.HasPrefix(name, ".") {
		panic("a path reached the log: " + name)
	}
	c, ok := l.configs[name]
	if !ok {
		return c, fmt.Errorf("topic %s: %w", name, commitlog.ErrUnknownTopic)
	}
	return c, nil
}

func (l *fakeLog) Bounds(_ context.Context, tp commitlog.TopicPartition) (commitlog.Bounds, error) {
	return commitlog.Bounds{Start: l.start, StableEnd: l.start + int64(len(l.batches[tp]))}, nil
}

func (l *fakeLog) NewReader(commitlog.ReaderOptions) (commitlog.Reader, error) {
	return &fakeReader{log: l}, nil
}

type fakeReader struct {
	commitlog.Reader
	log    *fakeLog
	tp     commitlog.TopicPartition
	offset int64
}

func (r *fakeReader) Assign(tp commitlog.TopicPartition, offset int64) error {
	r.tp, r.offset = tp, offset
	return nil
}

func (r *fakeReader) Poll(context.Context) ([]commitlog.Fetched, error) {
	all := r.log.batches[r.tp]
	i := r.offset - r.log.start
	n := min(int64(len(all)), i+2)
	r.offset = r.log.start + n
	return []commitlog.Fetched{{TopicPartition: r.tp, Batches: all[max(0, i-1):n], Next: r.offset, StableEnd: r.log.start + int64(len(all))}}, nil
}

func (r *fakeReader) Close() error { return nil }

// filled is a fake with rows in every store and records in every topic.
func filled(t testing.TB) *fake {
	t.Helper()
	f := newFake()
	for _, name := range []string{"ada", "bob", "cy", "dan/..%2f", "eve"} {
		f.put(t, "people", []byte(name), fmt.Appendf(nil, `{"name":%q,"age":%d}`, name, 30+len(name)))
	}
	for i := range int64(5) {
		key, _ := serde.OrderedInt64.Append(nil, i)
		value, _ := serde.Int64.Append(nil, i*i)
		f.put(t, "numbers", key, value)
	}
	f.put(t, "blobs", []byte{0xff, 0x3e}, []byte{1, 2, 3})
	for h := range int64(4) {
		for _, key := range []string{"m1", "m2"} {
			value, _ := serde.Int64.Append(nil, h)
			f.putAt(t, "hourly", h*3_600_000, []byte(key), value)
		}
	}
	for i := range 5 {
		f.log.append(commitlog.TopicPartition{Topic: "visits"}, Produced{Key: fmt.Append(nil, "k", i), Value: []byte(`{"name":"x","age":1}`), Time: time.UnixMilli(int64(i))})
	}
	f.log.append(commitlog.TopicPartition{Topic: "visits"}, Produced{})
	f.log.append(commitlog.TopicPartition{Topic: "raw"}, Produced{Key: []byte{0xff}, Value: []byte("v")})
	f.log.append(commitlog.TopicPartition{Topic: "raw"}, Produced{})
	return f
}

func (f *fake) checkClosed(t testing.TB) {
	t.Helper()
	f.open.Lock()
	defer f.open.Unlock()
	if f.open.views != 0 {
		t.Errorf("%d views are left open", f.open.views)
	}
}

// do sends a request from this machine to a handler.
func do(h http.Handler, method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

var errPlanted = errors.New("open /secret/path: broken")

func sortedStrings(s []string) []string {
	out := slices.Clone(s)
	slices.Sort(out)
	return out
}
