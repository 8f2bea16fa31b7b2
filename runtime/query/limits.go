package query

import (
	"context"
	"time"
)

// Limits bound every request. A zero field takes the default named with it.
type Limits struct {
	DefaultRows int           // rows of a page that names no limit; 100
	Rows        int           // most rows of a page; 10,000
	Keys        int           // most keys of a batch get; 1,000
	Records     int           // most records of one append; 1,000
	Bytes       int           // of an answer, after which a page ends; 8 MiB
	Examined    int           // rows or windows looked at for one page; 100,000
	Time        time.Duration // spent on one page; 1 s
	AppendTime  time.Duration // an append may take; 10 s
	BodyBytes   int64         // of a request; 1 MiB
}

func (l Limits) withDefaults() Limits {
	defaultTo(&l.DefaultRows, 100)
	defaultTo(&l.Rows, 10_000)
	defaultTo(&l.Keys, 1_000)
	defaultTo(&l.Records, 1_000)
	defaultTo(&l.Bytes, 8<<20)
	defaultTo(&l.Examined, 100_000)
	defaultTo(&l.Time, time.Second)
	defaultTo(&l.AppendTime, 10*time.Second)
	defaultTo(&l.BodyBytes, 1<<20)
	return l
}

func defaultTo[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// meter adds up what a page costs. Spent is asked after a row, so a page makes
// progress however small the budget is.
type meter struct {
	limits   Limits
	now      func() time.Time
	deadline time.Time
	examined int
}

// clockEvery is how many rows are examined between two looks at the clock.
const clockEvery = 32

func newMeter(limits Limits, now func() time.Time) *meter {
	return &meter{limits: limits, now: now, deadline: now().Add(limits.Time)}
}

// examine counts one row and reports whether the budget is spent. size is the
// size of the answer so far. An ended context is an error.
func (m *meter) examine(ctx context.Context, size int) (spent bool, err error) {
	m.examined++
	if m.examined%clockEvery == 1 {
		if err := ctx.Err(); err != nil {
			return true, err
		}
		spent = !m.now().Before(m.deadline)
	}
	return spent || m.examined >= m.limits.Examined || size >= m.limits.Bytes, nil
}
