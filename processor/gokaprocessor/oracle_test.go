package gokaprocessor

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// sent is one record of a test's input.
type sent struct {
	topic, key string
	value      any // nil is null
	headers    goka.Headers
}

// written is what a group has written: to every output and the loop, in order, and
// the rows of its table.
type written struct {
	topics map[string][]string
	table  map[string]string
}

func showRecord(key string, value []byte, h goka.Headers) string {
	text := fmt.Sprintf("%q=null", key)
	if value != nil {
		text = fmt.Sprintf("%q=%q", key, value)
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		text += fmt.Sprintf(" %s:%s", name, h[name])
	}
	return text
}

// writes are the topics that a group writes.
func (g Group) writes() []string {
	var topics []string
	for _, o := range g.Outputs {
		topics = append(topics, string(o.Topic))
	}
	if g.Loop != nil {
		topics = append(topics, g.LoopTopic())
	}
	return topics
}

// gokaRun is a group that goka itself runs, on its own tester.
type gokaRun struct {
	t      *testing.T
	g      Group
	tester *tester.Tester
	stop   context.CancelFunc
	ended  chan error
}

func startGoka(t *testing.T, g Group) *gokaRun {
	t.Helper()
	run := &gokaRun{t: t, g: g, tester: tester.New(t), ended: make(chan error, 1)}
	p, err := goka.NewProcessor(nil, g.graph(), goka.WithTester(run.tester), goka.WithNilHandling(g.NilHandling),
		goka.WithProducerDefaultHeaders(g.DefaultHeaders), goka.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	run.stop = cancel
	go func() { run.ended <- p.Run(ctx) }()
	return run
}

func (r *gokaRun) send(s sent) {
	if data, ok := s.value.([]byte); ok {
		s.value = bytes.Clone(data) // the tester hands these very bytes to the callback
	}
	r.tester.Consume(s.topic, s.key, s.value, tester.WithHeaders(s.headers))
	if r.g.reads(s.topic) && !r.applied(s, 5*time.Second) {
		r.t.Errorf("goka does not apply %v to its table", s)
	}
}

// reads says that a topic is that of a joined or a lookup table.
func (g Group) reads(topic string) bool {
	return slices.ContainsFunc(append(slices.Clone(g.Joins), g.Lookups...), func(t Table) bool { return string(t.Topic) == topic })
}

// applied waits until goka has applied an update of a table, which its tester
// hands over without waiting for that.
func (r *gokaRun) applied(s sent, within time.Duration) bool {
	for began := time.Now(); time.Since(began) < within; time.Sleep(time.Millisecond) {
		if reflect.DeepEqual(r.tester.TableValue(goka.Table(s.topic), s.key), s.value) {
			return true
		}
	}
	return false
}

// warmUp waits until goka follows the tables: what its tester hands over in the
// first moments goes astray. Rows of a key that no program uses are of no matter.
func (r *gokaRun) warmUp(input []sent) {
	for _, s := range input {
		if !r.g.reads(s.topic) || s.value == nil {
			continue
		}
		s.key = "~"
		for following := false; !following; following = r.applied(s, 50*time.Millisecond) {
			r.tester.Consume(s.topic, s.key, s.value)
		}
	}
}

// result stops goka and tells what it has written.
func (r *gokaRun) result() written {
	r.t.Helper()
	out := written{topics: map[string][]string{}, table: map[string]string{}}
	for _, topic := range r.g.writes() {
		q := r.tester.NewQueueTracker(topic)
		q.Seek(0)
		for {
			h, key, value, ok := q.NextRawWithHeaders()
			if !ok {
				break
			}
			out.topics[topic] = append(out.topics[topic], showRecord(key, value, h))
		}
	}
	if r.g.Persist != nil {
		table := goka.GroupTable(r.g.Name)
		for _, key := range r.tester.GetTableKeys(table) {
			data, err := r.g.Persist.Encode(r.tester.TableValue(table, key))
			if err != nil {
				r.t.Fatal(err)
			}
			out.table[key] = string(data)
		}
	}
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Fatalf("goka: %v", err)
	}
	return out
}

// codecOf is the codec of a topic that is read.
func (g Group) codecOf(topic string) goka.Codec {
	for _, e := range g.graph().AllEdges() {
		if e.Topic() == topic {
			return e.Codec()
		}
	}
	return nil
}

// send sends to the engine what goka gets. Times grow, so that records are taken
// in the order in which they are sent.
func send(t *testing.T, d *streamtest.Driver, g Group, at int, s sent) error {
	t.Helper()
	raw := streamtest.RawRecord{Key: []byte(s.key), Time: processor.Timestamp(1000 + at), Headers: recordHeaders(s.headers)}
	if s.value != nil {
		data, err := g.codecOf(s.topic).Encode(s.value)
		if err != nil {
			t.Fatal(err)
		}
		raw.Value = nonNil(data)
	}
	return d.TrySendRaw(s.topic, 0, raw)
}

// rawTopic reads a topic in bytes.
func rawTopic(name string) topology.Topic[string, processor.Opt[[]byte]] {
	return topology.Topic[string, processor.Opt[[]byte]]{Name: name, Key: serde.String, Value: serde.Nullable(serde.Bytes)}
}

func result(d *streamtest.Driver, g Group) written {
	out := written{topics: map[string][]string{}, table: map[string]string{}}
	for _, topic := range g.writes() {
		for _, r := range streamtest.Output(d, rawTopic(topic)).All() {
			out.topics[topic] = append(out.topics[topic], showRecord(r.Key, r.Value.Value, callbackHeaders(r.Headers)))
		}
	}
	if g.Persist != nil {
		for _, row := range streamtest.Rows(d, state.KeyValue(g.TableTopic(), serde.String, serde.Bytes)) {
			out.table[row.Key] = string(row.Value)
		}
	}
	return out
}

// differences tells where we differ from goka.
func differences(got, want written) (out []string) {
	for topic := range want.topics {
		if !slices.Equal(got.topics[topic], want.topics[topic]) {
			out = append(out, fmt.Sprintf("topic %s\n%s\ngoka:\n%s", topic, strings.Join(got.topics[topic], "\n"), strings.Join(want.topics[topic], "\n")))
		}
	}
	if len(got.topics) != len(want.topics) {
		out = append(out, fmt.Sprintf("records in %d topics, goka in %d", len(got.topics), len(want.topics)))
	}
	if !reflect.DeepEqual(got.table, want.table) {
		out = append(out, fmt.Sprintf("table %v\ngoka  %v", got.table, want.table))
	}
	return out
}

// onGoka is what goka writes.
func onGoka(t *testing.T, g Group, input []sent) written {
	t.Helper()
	run := startGoka(t, g)
	run.warmUp(input)
	for _, s := range input {
		run.send(s)
	}
	return run.result()
}

// onEngine is what we write.
func onEngine(t *testing.T, g Group, input []sent, mode streamtest.Mode) written {
	t.Helper()
	d := streamtest.New(t, g.Build, mode)
	for i, s := range input {
		if err := send(t, d, g, i, s); err != nil {
			t.Fatal(err)
		}
	}
	return result(d, g)
}

// sameAsGoka runs a program on both, here in the given modes.
func sameAsGoka(t *testing.T, group func() Group, input []sent, modes []streamtest.Mode) {
	t.Helper()
	want := onGoka(t, group(), input)
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			for _, d := range differences(onEngine(t, group(), input, mode), want) {
				t.Error(d)
			}
		})
	}
}

// failsLikeGoka sends records of which the last must stop both. It returns the
// errors.
func failsLikeGoka(t *testing.T, group func() Group, input ...sent) (ours, gokas error) {
	t.Helper()
	reference := startGoka(t, group())
	consumed := make(chan struct{})
	go func() {
		defer close(consumed)
		defer func() { _ = recover() }() // the tester panics when the processor is gone
		for _, s := range input {
			reference.send(s)
		}
	}()
	select {
	case gokas = <-reference.ended:
	case <-time.After(10 * time.Second):
		t.Error("goka goes on")
	}
	reference.stop()

	g := group()
	d := streamtest.New(t, g.Build, streamtest.Mode{})
	for i, s := range input {
		ours = cmp.Or(ours, send(t, d, g, i, s))
	}
	return ours, gokas
}
