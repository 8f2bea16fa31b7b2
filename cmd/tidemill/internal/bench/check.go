package bench

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// checker takes the results in the order of their partitions and says what is
// wrong with them.
type checker interface {
	add(partition int32, key, value []byte)
	finish() (outputs int64, problems []string)
}

func newChecker(j Job) checker {
	if j.Workload == Hourly {
		e := j.expectHourly()
		return &hourlyChecker{job: j, want: e, got: make([]seen, len(e.cells)), flushed: map[string]int{}}
	}
	want := j.expectCounts()
	return &countChecker{job: j, want: want, got: make([]seen, len(want))}
}

// seen is what was written for one key: the last value and how many there were.
type seen struct {
	bits uint64
	n    int64
}

// problems keeps the first few of any number.
type problems struct {
	total int
	first []string
}

const maxProblems = 5

func (p *problems) addf(format string, args ...any) {
	p.total++
	if len(p.first) < maxProblems {
		p.first = append(p.first, fmt.Sprintf(format, args...))
	}
}

func (p *problems) list() []string {
	if more := p.total - len(p.first); more > 0 {
		return append(p.first, fmt.Sprintf("and %d more", more))
	}
	return p.first
}

// hourlyChecker checks W1: the last value of every window is right bit for bit,
// no window is missing, none is additional, and with emission on close there is
// exactly one value for each.
type hourlyChecker struct {
	job     Job
	want    *hourlyMeans
	got     []seen
	flushed map[string]int
	outputs int64
	problems
}

func (c *hourlyChecker) add(partition int32, key, value []byte) {
	c.outputs++
	if len(key) < 8 || len(value) != 8 {
		c.addf("result %q = %x is not a windowed key and a number", key, value)
		return
	}
	inner, start := key[:len(key)-8], int64(binary.BigEndian.Uint64(key[len(key)-8:]))
	if want := commitlog.Murmur2(inner, int32(c.job.Partitions)); partition != want {
		c.addf("result %s at %d lies in partition %d, want %d", inner, start, partition, want)
	}
	bits := binary.BigEndian.Uint64(value)
	if strings.HasPrefix(string(inner), flushPrefix) {
		c.addFlush(string(inner), start, bits)
		return
	}
	meter, ok := parseKey(inner)
	i, known := c.want.cell(meter, start)
	if !ok || !known || c.want.cells[i].N == 0 {
		c.addf("result %s at %d is of no window", inner, start)
		return
	}
	c.got[i].bits = bits
	c.got[i].n++
}

// addFlush takes the window of a flush record: it never closes.
func (c *hourlyChecker) addFlush(key string, start int64, bits uint64) {
	c.flushed[key]++
	if start != hourOf(c.job.flushTime()) || bits != 0 {
		c.addf("result %s at %d is %v, want 0 at %d", key, start, math.Float64frombits(bits), hourOf(c.job.flushTime()))
	}
}

func (c *hourlyChecker) finish() (int64, []string) {
	for i, w := range c.want.cells {
		if w.N == 0 {
			continue
		}
		g, meter, start := c.got[i], i/c.want.hours, c.want.first+int64(i%c.want.hours)*hour
		switch {
		case g.n == 0:
			c.addf("the result of meter %d at %d is missing", meter, start)
		case g.bits != math.Float64bits(w.value()):
			c.addf("the last result of meter %d at %d is %v, want %v", meter, start, math.Float64frombits(g.bits), w.value())
		case c.job.Emit == EmitClose && g.n != 1:
			c.addf("meter %d at %d has %d final results", meter, start, g.n)
		}
	}
	c.finishFlush()
	if want := c.job.Records() - c.want.dropped + int64(c.job.Partitions); c.job.Emit == EmitUpdate && c.outputs != want {
		c.addf("there are %d results, want %d: one for each reading that is not late", c.outputs, want)
	}
	return c.outputs, c.list()
}

func (c *hourlyChecker) finishFlush() {
	want := 1
	if c.job.Emit == EmitClose {
		want = 0
	}
	for p := range c.job.Partitions {
		if n := c.flushed[flushKey(p)]; n != want {
			c.addf("%s has %d results, want %d", flushKey(p), n, want)
		}
		delete(c.flushed, flushKey(p))
	}
	for key := range c.flushed {
		c.addf("result %s is of no record", key)
	}
}

// countChecker checks W2: the last count of every key is right, no key is
// missing, none is additional.
type countChecker struct {
	job     Job
	want    []int64
	got     []seen
	outputs int64
	problems
}

func (c *countChecker) add(partition int32, key, value []byte) {
	c.outputs++
	k, ok := parseKey(key)
	if !ok || int(k) >= len(c.want) || len(value) != 8 {
		c.addf("result %q = %x is of no key", key, value)
		return
	}
	if want := commitlog.Murmur2(key, int32(c.job.Partitions)); partition != want {
		c.addf("result %s lies in partition %d, want %d", key, partition, want)
	}
	c.got[k].bits = binary.BigEndian.Uint64(value)
	c.got[k].n++
}

func (c *countChecker) finish() (int64, []string) {
	for k, want := range c.want {
		switch g := c.got[k]; {
		case want == 0 && g.n == 0:
		case want == 0:
			c.addf("key %d has a result but no record", k)
		case g.n == 0:
			c.addf("the count of key %d is missing", k)
		case int64(g.bits) != want:
			c.addf("the last count of key %d is %d, want %d", k, int64(g.bits), want)
		}
	}
	if c.job.Emit == EmitUpdate && c.outputs != c.job.Records() {
		c.addf("there are %d results, want %d: one for each record", c.outputs, c.job.Records())
	}
	return c.outputs, c.list()
}
