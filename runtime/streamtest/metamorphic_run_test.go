package streamtest_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/topology"
)

// scenario is everything that a seed decides.
type scenario struct {
	seed uint64
	plan plan
	mode streamtest.Mode
	sent []sent
}

// sent is an input record, and what the test does behind it.
type sent struct {
	topic   inputTopic
	nullKey bool
	modelRecord
	then action
}

type action uint8

const (
	thenNothing action = iota
	thenCommit
	thenRestart
)

func (s sent) String() string {
	key := fmt.Sprintf("%q", s.key)
	if s.nullKey {
		key = "null"
	}
	return fmt.Sprintf("%s %s %s%s", s.topic.name, key, s.entry, [...]string{"", ", commit", ", restart"}[s.then])
}

func newScenario(seed uint64) scenario {
	r := rand.New(rand.NewPCG(seed, 0x7469_6465))
	s := scenario{seed: seed, plan: newPlan(r), mode: streamtest.Mode{Seed: seed | 1}}
	s.mode.Schedule = []streamtest.Schedule{streamtest.Straight, streamtest.Straight, streamtest.EveryCommit,
		streamtest.Random, streamtest.Random, streamtest.Random, streamtest.EveryRestart}[r.IntN(7)]
	if r.IntN(4) == 0 {
		s.mode.Engine = streamtest.Pebble
	}
	if r.IntN(3) == 0 {
		s.mode.CacheBytes = 1 + r.IntN(2)*500
	}
	s.sent = newInput(r, s.plan, s.mode)
	return s
}

// newInput draws records of few keys, whose times move forward with some of them
// behind, by up to a lateness that the scenario has.
func newInput(r *rand.Rand, p plan, mode streamtest.Mode) []sent {
	var topics []inputTopic
	for _, o := range p.ops {
		topics = append(topics, o.topics...)
	}
	n := 20 + r.IntN(40)
	if mode.Schedule != streamtest.Straight && mode.Engine == streamtest.Pebble {
		n = 10 + r.IntN(15) // a restart of a store on a disk costs
	}
	keys, lateness, now := 1+r.IntN(5), 1+r.Int64N(25), int64(0)
	out := make([]sent, n)
	for i := range out {
		s := &out[i]
		s.topic = topics[r.IntN(len(topics))]
		s.key = string(rune('a' + r.IntN(keys)))
		s.nullKey = s.topic.nullKeys && r.IntN(6) == 0
		// A topic that says it has null keys is declared with null values too.
		nulls := s.topic.nullKeys || s.topic.nullValues
		s.value = when(!nulls || r.IntN(5) > 0, r.Int64N(50))
		now += r.Int64N(5)
		if r.IntN(40) == 0 {
			now += 50
		}
		s.time = max(0, now-r.Int64N(lateness)*r.Int64N(2))
		if mode.Schedule == streamtest.Straight {
			s.then = [10]action{thenCommit, thenRestart}[r.IntN(10)]
		}
	}
	return out
}

// run drives the engine and the model with the input and compares.
func (s scenario) run(lateBy int64) (v verdict) {
	m := newModel(s.plan, lateBy)
	for _, in := range s.sent {
		m.send(in)
	}
	f := &fakeTB{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for i := len(f.cleanups) - 1; i >= 0; i-- {
				f.cleanups[i]()
			}
		}()
		d := streamtest.New(f, s.plan.build, s.mode)
		for _, in := range s.sent {
			in.to(d, len(s.inputs()) > 1)
		}
		v.compare(d, m)
	}()
	<-done
	for _, failure := range f.failures {
		v.note(&v.wrong, "the driver failed: %s", failure)
	}
	return v
}

func (s scenario) inputs() (topics []inputTopic) {
	for _, o := range s.plan.ops {
		topics = append(topics, o.topics...)
	}
	return topics
}

// to sends the record. Where a task has several inputs, a crash would make those
// that are not committed be taken in another order than they were sent in: they
// are committed first.
func (s sent) to(d *streamtest.Driver, several bool) {
	at := processor.Timestamp(s.time).Time()
	switch {
	case s.topic.nullKeys:
		topic := topology.Topic[processor.Opt[string], number]{Name: s.topic.name, Key: serde.Nullable(serde.String), Value: numbers}
		streamtest.Input(d, topic).SendAt(processor.Opt[string]{Value: s.key, OK: !s.nullKey}, s.value, at)
	case s.topic.nullValues:
		topic := topology.Topic[string, number]{Name: s.topic.name, Key: serde.String, Value: numbers}
		streamtest.Input(d, topic).SendAt(s.key, s.value, at)
	default:
		topic := topology.Topic[string, int64]{Name: s.topic.name, Key: serde.String, Value: serde.Int64}
		streamtest.Input(d, topic).SendAt(s.key, s.value.Value, at)
	}
	if s.then == thenCommit || (s.then == thenRestart && several) {
		d.Commit()
	}
	if s.then == thenRestart {
		d.Restart()
	}
}

// shrink leaves out what it can of the input, in halves, quarters, and so on down
// to single records, as long as the scenario still fails.
func (s scenario) shrink(lateBy int64) (scenario, verdict) {
	v := s.run(lateBy)
	for size := (len(s.sent) + 1) / 2; size > 0; size /= 2 {
		for from := 0; from < len(s.sent); {
			smaller := s
			smaller.sent = append(append([]sent{}, s.sent[:from]...), s.sent[min(from+size, len(s.sent)):]...)
			if got := smaller.run(lateBy); got.failed() {
				s, v = smaller, got
			} else {
				from += size
			}
		}
	}
	return s, v
}

// report is what is printed about a scenario that fails.
func (s scenario) report(lateBy int64) string {
	s, v := s.shrink(lateBy)
	text := fmt.Sprintf("seed %d fails (TIDEMILL_SEED=%d repeats it), in mode %s, with\n", s.seed, s.seed, s.mode)
	for _, note := range v.notes {
		text += "  " + note + "\n"
	}
	text += fmt.Sprintf("after these %d records:\n", len(s.sent))
	for _, in := range s.sent {
		text += "  " + in.String() + "\n"
	}
	t, err := s.plan.build()
	if err != nil {
		return text + err.Error()
	}
	return text + t.Describe()
}
