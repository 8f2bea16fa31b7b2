package topology

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// The tests in this file compare sessions, sliding windows and suppression with
// what their rules say, worked out with maps and sorting: random input, out of
// order and late, with null values and aggregates that delete.

// spanCase is a random script. Records of the second input only occur in cogroups.
type spanCase struct {
	gap, grace int64
	retention  time.Duration
	cogroup    bool
	records    []spanRecord
}

type spanRecord struct {
	input int
	key   string
	value int64 // deletes if it is deletes, and is null if it is nothing
	ts    int64
}

const (
	deletes = 13
	nothing = 14
)

func newSpanCase(rng *rand.Rand) spanCase {
	c := spanCase{gap: rng.Int64N(12), grace: rng.Int64N(20), cogroup: rng.IntN(3) == 0}
	if rng.IntN(2) == 0 {
		c.retention = ms(c.gap + c.grace + rng.Int64N(4))
	}
	base := rng.Int64N(30)
	for range 1 + rng.IntN(40) {
		switch rng.IntN(15) {
		case 0:
			base += rng.Int64N(200)
		case 1, 2, 3, 4:
			base += rng.Int64N(c.gap + 3)
		}
		r := spanRecord{key: []string{"a", "b", "c"}[rng.IntN(3)], value: rng.Int64N(15), ts: max(0, base-rng.Int64N(c.gap+c.grace+15)+5)}
		if c.cogroup {
			r.input = rng.IntN(2)
		}
		c.records = append(c.records, r)
	}
	return c
}

// spanAdd is the aggregation of all cases: a log, in which the order shows.
func spanAdd(sign string) func(processor.Opt[string], processor.Opt[int64]) processor.Opt[string] {
	return func(agg processor.Opt[string], v processor.Opt[int64]) processor.Opt[string] {
		if v.Value == deletes {
			return processor.None[string]()
		}
		return processor.Some(agg.Value + sign + v.String())
	}
}

func spanMerge(x, y processor.Opt[string]) processor.Opt[string] {
	return processor.Some("(" + x.Value + "|" + y.Value + ")")
}

func spanInit() processor.Opt[string] { return processor.Some("") }

func spanTopic(name string) Topic[processor.Windowed[string], processor.Opt[string]] {
	return Topic[processor.Windowed[string], processor.Opt[string]]{Name: name, Partitions: 1,
		Key: serde.SessionWindowed(serde.String), Value: serde.Nullable(serde.String)}
}

// declareSessions aggregates sessions with all emissions, and suppresses them.
func (c spanCase) declareSessions(b *Builder) {
	windows := Session(ms(c.gap)).Grace(ms(c.grace))
	store := func(name string) state.SessionStore[string, string] {
		return state.Session(name, serde.String, serde.String).Retention(c.retention)
	}
	first := WithKey(Source(b, nullable("in0"))).GroupByKey()
	var updates *Table[processor.Windowed[string], string]
	if c.cogroup {
		second := WithKey(Source(b, nullable("in1"))).GroupByKey()
		co := AddToOpt(CogroupOpt(first, spanAdd("+")), second, spanAdd("*")).InitOpt(spanInit).MergingOpt(spanMerge).WindowedBy(windows)
		updates = AggregateCogroup(co, store("sessions"))
	} else {
		a := AggregatorOpt[processor.Opt[int64], string]{Init: spanInit, Add: spanAdd("+"), Merge: spanMerge}
		w := first.WindowedBy(windows)
		updates = AggregateOpt(w, a, store("sessions"))
		Updates(AggregateOpt(w.Emit(OnCommit), a, store("sessions-commit"))).To(spanTopic("commit"))
		Updates(AggregateOpt(w.Emit(OnClose), a, store("sessions-close"))).To(spanTopic("close"))
	}
	Updates(updates).To(spanTopic("update"))
	Updates(updates.SuppressUntilClose(Buffer{Name: "final"})).To(spanTopic("final"))
}

func (c spanCase) run(t *testing.T, m mode, declare func(b *Builder)) (byTopic map[string][]string, d *driver) {
	t.Helper()
	d = newDriver(t, m, declare)
	for _, r := range c.records {
		in := fmt.Sprintf("in%d", r.input)
		if r.value == nothing {
			d.sendNull(in, r.key, r.ts)
		} else {
			d.send(in, r.key, r.value, r.ts)
		}
	}
	d.commit()
	byTopic = map[string][]string{}
	for _, line := range d.take() {
		topic, rest, _ := strings.Cut(line, ": ")
		byTopic[topic] = append(byTopic[topic], rest)
	}
	return byTopic, d
}

// spanWindow is a row of the model.
type spanWindow struct {
	key        string
	start, end int64
}

func spanLine(w spanWindow, agg processor.Opt[string], time int64) string {
	return fmt.Sprintf("%s[%d,%d)=%v@%d", w.key, w.start, w.end, agg, time)
}

// sessionModel follows the rules of sessions. strict is the negative control: a
// late rule that is off by one.
type sessionModel struct {
	c       spanCase
	strict  bool
	times   [2]int64
	rows    map[spanWindow]string
	left    map[spanWindow]bool // final results that have left, on close
	updates []string
	closed  []string
	late    uint64
	final   finalModel
}

func newSessionModel(c spanCase, strict bool) *sessionModel {
	return &sessionModel{c: c, strict: strict, times: [2]int64{-1, -1}, rows: map[spanWindow]string{}, left: map[spanWindow]bool{},
		final: finalModel{lag: c.gap + c.grace, waiting: map[spanWindow]waitingRow{}}}
}

func (m *sessionModel) update(w spanWindow, agg processor.Opt[string]) {
	m.updates = append(m.updates, spanLine(w, agg, w.end))
	m.final.update(w, agg, w.end)
}

func (m *sessionModel) record(r spanRecord) {
	m.times[r.input] = max(m.times[r.input], r.ts)
	newest := max(m.times[0], m.times[1])
	retention := int64(24 * time.Hour / time.Millisecond)
	if m.c.retention > 0 {
		retention = m.c.retention.Milliseconds()
	}
	var touched []spanWindow
	for w := range m.rows {
		if w.key == r.key && w.end >= r.ts-m.c.gap && w.start <= r.ts+m.c.gap && w.end >= newest-retention {
			touched = append(touched, w)
		}
	}
	slices.SortFunc(touched, func(a, b spanWindow) int { return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.start, b.start)) })
	whole, agg := spanWindow{r.key, r.ts, r.ts}, spanInit()
	for _, w := range touched {
		whole.start, whole.end = min(whole.start, w.start), max(whole.end, w.end)
		agg = spanMerge(agg, processor.Some(m.rows[w]))
	}
	limit := m.times[r.input] - m.c.gap - m.c.grace
	if m.strict {
		limit++
	}
	if whole.end < max(limit, newest-retention) {
		m.late++
		m.close()
		return
	}
	agg = spanAdd([]string{"+", "*"}[r.input])(agg, processor.Opt[int64]{Value: r.value, OK: r.value != nothing})
	point := whole.start == whole.end
	for _, w := range touched {
		delete(m.rows, w)
		if !point {
			m.update(w, processor.None[string]())
		}
	}
	if agg.OK {
		m.rows[whole] = agg.Value
	}
	m.update(whole, agg)
	m.close()
}

// close is emission on close: by end, start and key.
func (m *sessionModel) close() {
	var due []spanWindow
	for w := range m.rows {
		if w.end < m.times[0]-m.c.gap-m.c.grace && !m.left[w] {
			due = append(due, w)
		}
	}
	slices.SortFunc(due, func(a, b spanWindow) int {
		return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.start, b.start), cmp.Compare(a.key, b.key))
	})
	for _, w := range due {
		m.left[w] = true
		m.closed = append(m.closed, spanLine(w, processor.Some(m.rows[w]), w.end))
	}
}

// finalModel is SuppressUntilClose.
type finalModel struct {
	lag, clock int64
	waiting    map[spanWindow]waitingRow
	results    []string
}

type waitingRow struct {
	agg  processor.Opt[string]
	time int64
}

func (m *finalModel) update(w spanWindow, agg processor.Opt[string], time int64) {
	m.clock = max(m.clock, time)
	m.waiting[w] = waitingRow{agg, time}
	due := slices.SortedFunc(maps.Keys(m.waiting), func(a, b spanWindow) int {
		return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.key, b.key), cmp.Compare(a.start, b.start))
	})
	for _, w := range due {
		if w.end > m.clock-m.lag {
			continue
		}
		if row := m.waiting[w]; row.agg.OK {
			m.results = append(m.results, spanLine(w, row.agg, row.time))
		}
		delete(m.waiting, w)
	}
}

// sampled says what is wrong with the results per commit, or "": each has to be one
// of the updates, and the last of each row the same.
func sampled(updates, commits []string) string {
	last := func(lines []string) map[string]string {
		out := map[string]string{}
		for _, line := range lines {
			row, value, _ := strings.Cut(line, "=")
			if out[row] = value; strings.HasPrefix(value, "null") {
				delete(out, row)
			}
		}
		return out
	}
	for _, line := range commits {
		if !slices.Contains(updates, line) {
			return "no update is " + line
		}
	}
	if want, got := last(updates), last(commits); !maps.Equal(want, got) {
		return fmt.Sprintf("the last values are %v, want %v", got, want)
	}
	return ""
}

func modelSeeds() uint64 {
	if os.Getenv("TIDEMILL_LONG") != "" {
		return 100_000
	}
	return 1000
}

// TIDEMILL_LONG=1 takes 100,000 seeds.
func TestSessionsAgainstAModel(t *testing.T) {
	strictDiffers := uint64(0)
	for seed := range modelSeeds() {
		c := newSpanCase(rand.New(rand.NewPCG(seed, 2)))
		model, control := newSessionModel(c, false), newSessionModel(c, true)
		for _, r := range c.records {
			model.record(r)
			control.record(r)
		}
		m := modes[seed%uint64(len(modes))]
		got, d := c.run(t, m, c.declareSessions)
		check := func(what string, got, want []string) {
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, %s, %+v: %s\ngot  %v\nwant %v", seed, m.name, c, what, got, want)
			}
		}
		check("update", got["update"], model.updates)
		check("final", got["final"], model.final.results)
		if !c.cogroup {
			check("close", got["close"], model.closed)
			if late := d.dropped("sessions", DropLate); late != model.late {
				t.Fatalf("seed %d, %s, %+v: %d records were late, want %d", seed, m.name, c, late, model.late)
			}
			if problem := sampled(got["update"], got["commit"]); problem != "" {
				t.Fatalf("seed %d, %s, %+v: per commit: %s", seed, m.name, c, problem)
			}
		}
		if !slices.Equal(model.updates, control.updates) {
			strictDiffers++
		}
	}
	if strictDiffers < modelSeeds()/50 {
		t.Fatalf("only %d cases tell end < stream time - grace - gap from <=", strictDiffers)
	}
}

// slidingModel holds the records accepted, and counts on the definition: a window
// holds exactly the records between its ends, in the order of arrival. behind says
// that a record came whose own window had closed, behind which the rules say
// otherwise (see Sliding).
type slidingModel struct {
	diff, grace int64
	streamTime  int64
	accepted    []spanRecord
	behind      bool
	exclusive   bool // the negative control
}

func (m *slidingModel) record(r spanRecord) {
	if r.value == nothing {
		return // it does not move stream time either
	}
	m.streamTime = max(m.streamTime, r.ts)
	open := m.streamTime - m.grace
	if r.ts+m.diff < open {
		return
	}
	m.behind = m.behind || max(r.ts, m.diff) < open
	m.accepted = append(m.accepted, r)
}

// rows are the windows that exist: one that ends with each record, and one that
// begins behind it if that holds any.
func (m *slidingModel) rows() map[string]string {
	out := map[string]string{}
	for _, r := range m.accepted {
		for _, start := range []int64{max(0, r.ts-m.diff), r.ts + 1} {
			w := spanWindow{r.key, start, start + m.diff}
			agg, newest := "", int64(-1)
			for _, in := range m.accepted {
				if in.key == r.key && in.ts >= w.start && (in.ts < w.end || in.ts == w.end && !m.exclusive) {
					agg, newest = agg+fmt.Sprintf("+%d", in.value), max(newest, in.ts)
				}
			}
			if agg != "" {
				line := spanLine(w, processor.Some(agg), newest)
				row, value, _ := strings.Cut(line, "=")
				out[row] = value
			}
		}
	}
	return out
}

func (c spanCase) declareSliding(b *Builder) {
	windows := Sliding(ms(c.gap + 1)).Grace(ms(c.grace))
	a := AggregatorOpt[processor.Opt[int64], string]{Init: spanInit, Add: spanAdd("+")}
	w := WithKey(Source(b, nullable("in0"))).GroupByKey().WindowedBy(windows)
	for topic, emission := range map[string]Emission{"update": OnUpdate, "commit": OnCommit, "close": OnClose} {
		store := state.Window("sliding-"+topic, serde.String, serde.String)
		Updates(AggregateOpt(w.Emit(emission), a, store)).To(spanTopic(topic))
	}
}

// lastOf is the last update of each row.
func lastOf(lines []string) map[string]string {
	out := map[string]string{}
	for _, line := range lines {
		row, value, _ := strings.Cut(line, "=")
		out[row] = value
	}
	return out
}

func TestSlidingWindowsAgainstAModel(t *testing.T) {
	checked, exclusiveDiffers := uint64(0), uint64(0)
	for seed := range modelSeeds() {
		c := newSpanCase(rand.New(rand.NewPCG(seed, 3)))
		c.cogroup = false
		model := &slidingModel{diff: c.gap + 1, grace: c.grace}
		for i := range c.records {
			r := &c.records[i]
			if r.input = 0; r.value == deletes {
				r.value = 0 // a window that was deleted leaves its neighbours nothing
			}
			if model.record(*r); model.behind {
				c.records = c.records[:i] // what is accepted behind it follows another rule
				model.accepted = model.accepted[:len(model.accepted)-1]
				break
			}
		}
		m := modes[seed%uint64(len(modes))]
		got, _ := c.run(t, m, c.declareSliding)
		want := model.rows()
		if last := lastOf(got["update"]); !maps.Equal(last, want) {
			t.Fatalf("seed %d, %s, %+v:\ngot  %v\nwant %v", seed, m.name, c, last, want)
		}
		if problem := sampled(got["update"], got["commit"]); problem != "" {
			t.Fatalf("seed %d, %s, %+v: per commit: %s", seed, m.name, c, problem)
		}
		seen := map[string]string{}
		for _, line := range got["close"] {
			row, value, _ := strings.Cut(line, "=")
			if _, twice := seen[row]; twice || want[row] != value {
				t.Fatalf("seed %d, %s, %+v: the result %s left, twice %v, want %s", seed, m.name, c, line, twice, want[row])
			}
			seen[row] = value
		}
		checked += uint64(len(c.records))
		control := *model
		if control.exclusive = true; !maps.Equal(control.rows(), want) {
			exclusiveDiffers++
		}
	}
	if checked < 5*modelSeeds() || exclusiveDiffers < modelSeeds()/20 {
		t.Fatalf("%d records were checked, and only %d cases tell whether a window holds its end", checked, exclusiveDiffers)
	}
}

// limitModel is SuppressFor: the first update of a key fixes when it is due.
type limitModel struct {
	limit, records, clock int64
	waiting               map[string]*limitRow
	results               []string
	moves                 bool // the negative control: a later update moves the slot
}

type limitRow struct{ slot, value, time int64 }

func (m *limitModel) update(key string, value, time int64) {
	m.clock = max(m.clock, time)
	if row := m.waiting[key]; row != nil {
		row.value, row.time = value, time
		if m.moves {
			row.slot = time
		}
	} else {
		m.waiting[key] = &limitRow{time, value, time}
	}
	order := slices.SortedFunc(maps.Keys(m.waiting), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.waiting[a].slot, m.waiting[b].slot), cmp.Compare(a, b))
	})
	for _, key := range order {
		row := m.waiting[key]
		if row.slot <= m.clock-m.limit || m.records > 0 && int64(len(m.waiting)) > m.records {
			m.results = append(m.results, fmt.Sprintf("%s=%d@%d", key, row.value, row.time))
			delete(m.waiting, key)
		}
	}
}

func TestSuppressForAgainstAModel(t *testing.T) {
	movesDiffers := uint64(0)
	for seed := range modelSeeds() {
		rng := rand.New(rand.NewPCG(seed, 4))
		c := newSpanCase(rng)
		model := &limitModel{limit: rng.Int64N(30), waiting: map[string]*limitRow{}}
		if rng.IntN(2) == 0 {
			model.records = 1 + rng.Int64N(3)
		}
		control := &limitModel{limit: model.limit, records: model.records, waiting: map[string]*limitRow{}, moves: true}
		for i := range c.records {
			r := &c.records[i]
			r.input, r.value = 0, r.value%10
			model.update(r.key, r.value, r.ts)
			control.update(r.key, r.value, r.ts)
		}
		m := modes[seed%uint64(len(modes))]
		got, _ := c.run(t, m, func(b *Builder) {
			table := ToTable(Source(b, deletable("in0")), rowsStore("rows"))
			buffer := Buffer{Name: "buffer", MaxRecords: model.records}
			Updates(table.SuppressFor(ms(model.limit), buffer)).To(deletable("out"))
		})
		if !slices.Equal(got["out"], model.results) {
			t.Fatalf("seed %d, %s, limit %d, %d records at most, %v:\ngot  %v\nwant %v", seed, m.name, model.limit, model.records, c.records,
				got["out"], model.results)
		}
		if !slices.Equal(model.results, control.results) {
			movesDiffers++
		}
	}
	if movesDiffers < modelSeeds()/20 {
		t.Fatalf("only %d cases tell whether a later update moves its slot", movesDiffers)
	}
}
