package topology

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// windowCase is a random script for a windowed count.
type windowCase struct {
	windows   Windows
	retention time.Duration // 0: the default
	records   []windowRecord
}

type windowRecord struct {
	key string
	ts  int64
}

// newWindowCase draws timestamps that jump forward now and then, sometimes over
// many windows, and lie around the edges of windows and of grace otherwise.
func newWindowCase(rng *rand.Rand) windowCase {
	size := 1 + rng.Int64N(20)
	c := windowCase{windows: Tumbling(ms(size))}
	if rng.IntN(3) > 0 {
		c.windows = Hopping(ms(size), ms(1+rng.Int64N(size)))
	}
	c.windows = c.windows.Grace(ms(rng.Int64N(15)))
	if rng.IntN(2) == 0 {
		c.retention = c.windows.size + c.windows.grace
	}
	base := rng.Int64N(30)
	for range 1 + rng.IntN(40) {
		switch rng.IntN(12) {
		case 0:
			base += rng.Int64N(1000)
		case 1, 2, 3:
			base += rng.Int64N(size + 2)
		}
		ts := max(0, base-rng.Int64N(2*size+15)+size)
		c.records = append(c.records, windowRecord{[]string{"", "a", "b"}[rng.IntN(3)], ts})
	}
	return c
}

// windowModel counts by trying every window there could be.
type windowModel struct {
	w          Windows
	streamTime int64
	rows       map[windowRow]*windowCount
	updates    []string
	results    []string
	late       uint64
	strict     bool // the negative control: a wrong late rule
}

type windowRow struct {
	start int64
	key   string
}

type windowCount struct {
	n, time int64
	emitted bool
}

func (m *windowModel) closed(start int64) bool {
	close := start + m.w.size.Milliseconds() + m.w.grace.Milliseconds()
	return close < m.streamTime || close == m.streamTime && !m.strict
}

func (m *windowModel) line(topic string, row windowRow, c *windowCount) string {
	return fmt.Sprintf("%s: %s[%d,%d)=%d@%d", topic, row.key, row.start, row.start+m.w.size.Milliseconds(), c.n, c.time)
}

func (m *windowModel) record(r windowRecord) {
	m.streamTime = max(m.streamTime, r.ts)
	accepted := false
	for start := int64(0); start <= r.ts; start += m.w.advance.Milliseconds() {
		if r.ts >= start+m.w.size.Milliseconds() || m.closed(start) {
			continue
		}
		accepted = true
		row := windowRow{start, r.key}
		if m.rows[row] == nil {
			m.rows[row] = &windowCount{}
		}
		c := m.rows[row]
		c.n, c.time = c.n+1, max(c.time, r.ts)
		m.updates = append(m.updates, m.line("update", row, c))
	}
	if !accepted {
		m.late++
	}
	m.close()
}

func (m *windowModel) close() {
	var due []windowRow
	for row, c := range m.rows {
		if !c.emitted && m.closed(row.start) {
			due = append(due, row)
		}
	}
	slices.SortFunc(due, func(a, b windowRow) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.key, b.key))
	})
	for _, row := range due {
		m.rows[row].emitted = true
		m.results = append(m.results, m.line("close", row, m.rows[row]))
	}
}

// run counts a case in the engine, with all three emissions.
func (c windowCase) run(t *testing.T, m mode) (byTopic map[string][]string, late uint64) {
	t.Helper()
	d := newDriver(t, m, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(c.windows)
		for topic, emission := range map[string]Emission{"update": OnUpdate, "commit": OnCommit, "close": OnClose} {
			counts := Count(w.Emit(emission), windowStore("counts-"+topic).Retention(c.retention))
			counts.ToStream().To(windowed(topic, c.windows.size.Milliseconds()))
		}
	})
	for _, r := range c.records {
		d.send("in", r.key, 1, r.ts)
	}
	d.commit()
	byTopic = map[string][]string{}
	for _, line := range d.take() {
		topic, _, _ := cutLine(line)
		byTopic[topic] = append(byTopic[topic], line)
	}
	return byTopic, d.dropped("counts-update", DropLate)
}

const windowCases = 1000

func TestWindowsAgainstAModel(t *testing.T) {
	strictDiffers := 0
	for seed := range uint64(windowCases) {
		c := newWindowCase(rand.New(rand.NewPCG(seed, 1)))
		model := &windowModel{w: c.windows, rows: map[windowRow]*windowCount{}}
		control := &windowModel{w: c.windows, rows: map[windowRow]*windowCount{}, strict: true}
		for _, r := range c.records {
			model.record(r)
			control.record(r)
		}
		m := modes[seed%uint64(len(modes))]
		got, late := c.run(t, m)
		if !slices.Equal(got["update"], model.updates) || late != model.late {
			t.Fatalf("seed %d, %s, %v, records %v:\ngot  %v, %d late\nwant %v, %d late", seed, m.name, c.windows, c.records,
				got["update"], late, model.updates, model.late)
		}
		if !slices.Equal(got["close"], model.results) {
			t.Fatalf("seed %d, %s, %v, records %v:\ngot  %v\nwant %v", seed, m.name, c.windows, c.records, got["close"], model.results)
		}
		if problem := checkSample(got["update"], got["commit"]); problem != "" {
			t.Fatalf("seed %d, %s, %v, records %v: %s\nupdates %v\ncommits %v", seed, m.name, c.windows, c.records, problem,
				got["update"], got["commit"])
		}
		if !slices.Equal(control.updates, model.updates) || !slices.Equal(control.results, model.results) {
			strictDiffers++
		}
	}
	if strictDiffers < windowCases/20 {
		t.Fatalf("only %d cases tell end + grace <= stream time from <", strictDiffers)
	}
}

// TestWindowModesAgree runs some cases in all modes.
func TestWindowModesAgree(t *testing.T) {
	for seed := range uint64(60) {
		c := newWindowCase(rand.New(rand.NewPCG(seed, 2)))
		want, late := c.run(t, straight)
		for _, m := range modes[1:] {
			got, n := c.run(t, m)
			if !slices.Equal(got["update"], want["update"]) || !slices.Equal(got["close"], want["close"]) || n != late {
				t.Fatalf("seed %d, %s, %v, records %v:\ngot  %v, %d late\nwant %v, %d late", seed, m.name, c.windows, c.records, got, n, want, late)
			}
		}
	}
}

func TestGraceEdges(t *testing.T) {
	inModes(t, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Tumbling(ms(10)).Grace(ms(5)))
		Count(w, windowStore("counts")).ToStream().To(windowed("out", 10))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 9)
		d.send("in", "b", 1, 14) // stream time is that of all keys
		d.send("in", "a", 1, 0)  // 0 + 10 + 5 > 14
		d.send("in", "b", 1, 15) // closes [0,10)
		d.send("in", "a", 1, 9)
		d.expect("out: a[0,10)=1@9", "out: b[10,20)=1@14", "out: a[0,10)=2@9", "out: b[10,20)=2@15")
		if n := d.dropped("counts", DropLate); n != 1 {
			t.Fatalf("%d late, want 1", n)
		}
	})
}

// A record can be late for its older windows and in time for newer ones; it is
// counted as late only if it is late for all.
func TestHoppingWithAnOddAdvance(t *testing.T) {
	inModes(t, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Hopping(ms(10), ms(3)))
		Count(w, windowStore("counts")).ToStream().To(windowed("out", 10))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 10)
		d.expect("out: a[3,13)=1@10", "out: a[6,16)=1@10", "out: a[9,19)=1@10")
		d.send("in", "a", 1, 16)
		d.expect("out: a[9,19)=2@16", "out: a[12,22)=1@16", "out: a[15,25)=1@16")
		d.send("in", "a", 1, 12)
		d.expect("out: a[9,19)=3@16", "out: a[12,22)=2@16")
		d.send("in", "a", 1, 2)
		d.expect()
		if n := d.dropped("counts", DropLate); n != 1 {
			t.Fatalf("%d late, want 1", n)
		}
	})
}

func TestTheLargestTimestampEnds(t *testing.T) {
	d := newDriver(t, straight, func(b *Builder) {
		w := Source(b, numbers("in")).GroupByKey().WindowedBy(Hopping(ms(10), ms(3)))
		Count(w, windowStore("counts"))
	})
	d.send("in", "a", 1, 5)
	d.send("in", "a", 1, math.MaxInt64)
	if now := d.tasks[0].inst.StreamTime(); now != math.MaxInt64 {
		t.Fatalf("stream time is %d", now)
	}
}

func TestWindowsString(t *testing.T) {
	for want, w := range map[string]Windows{
		"tumbling 1h0m0s, grace 15m0s": Tumbling(time.Hour).Grace(15 * time.Minute),
		"hopping 10s by 3s, grace 0s":  Hopping(10*time.Second, 3*time.Second),
	} {
		if got := w.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
