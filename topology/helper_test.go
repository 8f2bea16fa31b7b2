package topology

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
)

// mode says when a driver commits and recreates its instances. Except for
// emission per commit no mode may change a result.
type mode struct {
	name       string
	commit     float64 // chance of a commit behind a record, and between two portions of closing
	recreate   bool    // commit into a new instance
	budget     int     // of Close
	cacheBytes int
}

var (
	straight = mode{name: "straight", budget: 1000, cacheBytes: 1 << 20}
	modes    = []mode{
		straight,
		{name: "close one by one", budget: 1, cacheBytes: 1 << 20},
		{name: "commit every record", commit: 1, budget: 1000, cacheBytes: 1 << 20},
		{name: "commit and recreate every record", commit: 1, recreate: true, budget: 1, cacheBytes: 1 << 20},
		{name: "tiny cache", commit: 1, budget: 3, cacheBytes: 1},
		{name: "commit and recreate at random", commit: 0.2, recreate: true, budget: 2, cacheBytes: 1 << 10},
	}
)

// inModes runs a test in every mode.
func inModes(t *testing.T, declare func(b *Builder), body func(t *testing.T, d *driver)) {
	t.Helper()
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			d := newDriver(t, m, declare)
			body(t, d)
			d.close()
		})
	}
}

// driver runs all sub-topologies of a topology with one partition each, on one
// in-memory engine per task, and loops internal topics back.
type driver struct {
	t     testing.TB
	mode  mode
	topo  *Topology
	tasks []*driverTask
	now   time.Time
	rng   *rand.Rand
	out   []string // "topic: key=value@time", in order
	queue []queued // records of internal topics
	// globals are the rows of the global table, if there is one.
	globals *globalRows
	// offset counts the records fed.
	offset int64
}

type driverTask struct {
	d      *driver
	sub    Sub
	db     *memdb.DB
	inst   *Instance
	clocks []byte            // JSON of the last commit
	logged map[string]string // what the changelogs hold, by store and key
	counts map[string]uint64 // counters of instances that are gone
}

type queued struct {
	topic string
	raw   Raw
}

func newDriver(t testing.TB, m mode, declare func(b *Builder)) *driver {
	t.Helper()
	b := New("app")
	declare(b)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	const seed = 7
	d := &driver{t: t, mode: m, topo: topo, now: time.UnixMilli(1_000_000), rng: rand.New(rand.NewPCG(seed, seed))}
	if len(topo.Globals()) > 0 {
		d.globals = &globalRows{db: memdb.New()}
	}
	for _, sub := range topo.Subs() {
		if d.globals != nil {
			sub.Globals = d.globals
		}
		task := &driverTask{d: d, sub: sub, db: memdb.New(), logged: map[string]string{}, counts: map[string]uint64{}}
		task.create()
		d.tasks = append(d.tasks, task)
	}
	return d
}

func (d *driver) close() {
	for _, task := range d.tasks {
		if err := task.inst.Shutdown(); err != nil {
			d.t.Error(err)
		}
	}
}

func (task *driverTask) env() Env {
	d := task.d
	env := Env{
		View: task.db, CacheBytes: d.mode.cacheBytes,
		StoreID: func(name string) uint16 {
			return uint16(1 + slices.IndexFunc(task.sub.Stores, func(s state.Spec) bool { return s.Name == name }))
		},
		Output: func(topic string) Output { return &driverOutput{d, d.topic(topic)} },
		Placement: func(*TopicDecl) (func([]byte, int32) int32, int32) {
			return func([]byte, int32) int32 { return 0 }, 1
		},
		Now: func() time.Time { return d.now },
	}
	if task.clocks != nil {
		env.Clocks = &Clocks{}
		if err := json.Unmarshal(task.clocks, env.Clocks); err != nil {
			d.t.Fatal(err)
		}
	}
	return env
}

func (task *driverTask) create() {
	inst, err := task.sub.Instantiate(task.env())
	if err != nil {
		task.d.t.Fatal(err)
	}
	task.inst = inst
	if err := inst.Init(); err != nil {
		task.d.t.Fatal(err)
	}
}

func (d *driver) topic(name string) *TopicDecl {
	for _, t := range d.topo.Topics() {
		if t.Name == name {
			return t
		}
	}
	d.t.Fatalf("no topic %s", name)
	return nil
}

// send feeds a record of a topic with string keys and int64 values to its source
// and runs everything to its end. A key of "-" is null.
func (d *driver) send(topic, key string, value, ts int64) {
	d.t.Helper()
	v, _ := serde.Int64.Append(nil, value)
	d.must(d.feed(topic, Raw{Key: keyBytes(key), Value: v, Time: ts}))
}

// sendNull is send with a null value.
func (d *driver) sendNull(topic, key string, ts int64) {
	d.t.Helper()
	d.must(d.feed(topic, Raw{Key: keyBytes(key), Time: ts}))
}

func keyBytes(key string) []byte {
	if key == "-" {
		return nil
	}
	return append([]byte{}, key...)
}

func (d *driver) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// feed runs a record and the internal records that it causes.
func (d *driver) feed(topic string, raw Raw) error {
	raw.Offset = d.offset
	d.offset++
	d.queue = append(d.queue, queued{topic, raw})
	return d.settle()
}

func (d *driver) settle() error {
	for len(d.queue) > 0 {
		next := d.queue[0]
		d.queue = d.queue[1:]
		task, source := d.source(next.topic)
		ts, ok, err := source.Decode(&next.raw)
		if err != nil {
			return err
		}
		if ok {
			if err := task.inst.Process(source, ts); err != nil {
				return err
			}
		}
		if err := task.settle(); err != nil {
			return err
		}
	}
	return nil
}

// settle closes windows and commits as the mode says.
func (task *driverTask) settle() error {
	for task.inst.Closing() {
		if err := task.inst.Close(task.d.mode.budget); err != nil {
			return err
		}
		if task.inst.Closing() {
			task.maybeCommit()
		}
	}
	task.maybeCommit()
	return nil
}

func (task *driverTask) maybeCommit() {
	if d := task.d; d.mode.commit > 0 && d.rng.Float64() < d.mode.commit {
		task.commit(d.mode.recreate)
	}
}

func (d *driver) source(topic string) (*driverTask, *SourceTask) {
	for _, task := range d.tasks {
		for _, s := range task.inst.Sources() {
			if s.Topic == topic {
				return task, s
			}
		}
	}
	d.t.Fatalf("no source %s", topic)
	return nil, nil
}

// commit commits all tasks, whatever the mode.
func (d *driver) commit() {
	d.t.Helper()
	for _, task := range d.tasks {
		task.commit(false)
	}
	d.must(d.settle())
}

// recreate commits all tasks and makes new instances.
func (d *driver) recreate() {
	for _, task := range d.tasks {
		task.commit(true)
	}
	d.must(d.settle())
}

func (task *driverTask) commit(recreate bool) {
	d := task.d
	d.t.Helper()
	d.must(task.inst.EmitPerCommit())
	batch := task.db.NewBatch()
	for _, s := range task.inst.Stores() {
		d.must(s.Drain(batch, changelogOf{task, s.Spec().Name}))
	}
	d.must(task.db.Apply(batch))
	for _, s := range task.inst.Stores() {
		s.Committed()
	}
	var err error
	if task.clocks, err = json.Marshal(task.inst.Clocks()); err != nil {
		d.t.Fatal(err)
	}
	if !recreate {
		return
	}
	for _, c := range task.inst.Counters() {
		task.counts[c.Node+" "+c.Reason] += c.N
	}
	d.must(task.inst.Shutdown())
	task.create()
}

// advance moves the wall clock and runs what is due.
func (d *driver) advance(by time.Duration) {
	d.t.Helper()
	d.now = d.now.Add(by)
	for _, task := range d.tasks {
		if _, err := task.inst.PunctuateWall(d.now); err != nil {
			d.t.Fatal(err)
		}
		d.must(task.settle())
	}
	d.must(d.settle())
}

// dropped is how many records a node has dropped for a reason.
func (d *driver) dropped(node, reason string) (n uint64) {
	for _, task := range d.tasks {
		n += task.counts[node+" "+reason]
		for _, c := range task.inst.Counters() {
			if c.Node == node && c.Reason == reason {
				n += c.N
			}
		}
	}
	return n
}

// expect compares what came out since the last call.
func (d *driver) expect(want ...string) {
	d.t.Helper()
	got := d.take()
	if !slices.Equal(got, want) {
		d.t.Fatalf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (d *driver) take() []string {
	out := d.out
	d.out = nil
	return out
}

type driverOutput struct {
	d    *driver
	decl *TopicDecl
}

func (o *driverOutput) Append(partition int32, time int64, key, value []byte, headers []processor.Header) error {
	if o.decl.Internal {
		o.d.queue = append(o.d.queue, queued{o.decl.Name, Raw{Time: time, Key: bytes.Clone(key), Value: bytes.Clone(value), Headers: headers}})
		return nil
	}
	line := fmt.Sprintf("%s: %s=%s@%d", o.decl.Name, show(o.decl.KeySerde, key), show(o.decl.ValueSerde, value), time)
	for _, h := range headers {
		line += fmt.Sprintf(" %s:%s", h.Key, h.Value)
	}
	o.d.out = append(o.d.out, line)
	return nil
}

type changelogOf struct {
	task  *driverTask
	store string
}

func (c changelogOf) Record(time int64, key, value []byte) error {
	id := c.store + "/" + string(key)
	if value == nil {
		delete(c.task.logged, id)
		return nil
	}
	c.task.logged[id] = fmt.Sprintf("%x@%d", value, time)
	return nil
}
