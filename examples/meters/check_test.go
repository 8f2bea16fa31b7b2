package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// output is one row of -out.
type output struct {
	id   windowID
	mean float64
}

// verdict counts what is wrong with an output: results that are not there, that
// are there again, and that never should have been.
type verdict struct{ lost, dup, wrong int }

func (v verdict) String() string {
	return fmt.Sprintf("lost=%d dup=%d wrong=%d", v.lost, v.dup, v.wrong)
}

func (v *verdict) add(w verdict) {
	v.lost, v.dup, v.wrong = v.lost+w.lost, v.dup+w.dup, v.wrong+w.wrong
}

// judge compares every row of an output with the offline result.
func judge(o *offline, emit string, rows []output) (v verdict) {
	got := map[windowID][]float64{}
	for _, r := range rows {
		got[r.id] = append(got[r.id], r.mean)
	}
	for id, means := range got {
		if o.hourly[id] == nil {
			v.wrong += len(means)
		}
	}
	for id, h := range o.hourly {
		switch {
		case emit == "commit":
			v.add(judgeSample(h.means, got[id]))
		case emit == "update":
			v.add(judgeAll(h.means, got[id]))
		case h.closed:
			v.add(judgeAll(h.means[len(h.means)-1:], got[id]))
		default:
			v.wrong += len(got[id]) // the window is still open
		}
	}
	v.wrong += outOfOrder(o, emit, rows)
	return v
}

// judgeAll wants exactly the sequence.
func judgeAll(want, got []float64) (v verdict) {
	next := 0
	for _, mean := range got {
		skip := slices.Index(want[next:], mean)
		switch {
		case skip == 0:
			next++
		case next > 0 && mean == want[next-1]:
			v.dup++
		case skip > 0:
			v.lost += skip
			next += skip + 1
		case slices.Contains(want, mean):
			v.dup++
		default:
			v.wrong++
		}
	}
	v.lost += len(want) - next
	return v
}

// judgeSample wants a subsequence with the same last value.
func judgeSample(want, got []float64) (v verdict) {
	next := 0
	for _, mean := range got {
		skip := slices.Index(want[next:], mean)
		switch {
		case skip >= 0:
			next += skip + 1
		case slices.Contains(want, mean):
			v.dup++
		default:
			v.wrong++
		}
	}
	if len(got) == 0 || got[len(got)-1] != want[len(want)-1] {
		v.lost++
	}
	return v
}

// outOfOrder counts rows behind one of a later partition, and results on close
// behind one of a later window.
func outOfOrder(o *offline, emit string, rows []output) (n int) {
	partition, start := int32(0), int64(0)
	for _, r := range rows {
		p := o.partition(r.id.meter)
		if p > partition {
			start = 0
		}
		if p < partition || emit == "close" && r.id.start < start {
			n++
		}
		partition, start = max(partition, p), max(start, r.id.start)
	}
	return n
}

func readOutput(t testing.TB, name string) []output {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || fmt.Sprint(all[0]) != "[meter_id window_start mean_kwh]" {
		t.Fatalf("%s: %v, header %v", name, err, all[0])
	}
	var rows []output
	for _, fields := range all[1:] {
		at, err := time.Parse("2006-01-02T15:04:05Z", fields[1])
		mean, err2 := strconv.ParseFloat(fields[2], 64)
		if err != nil || err2 != nil {
			t.Fatalf("%s: row %v: %v %v", name, fields, err, err2)
		}
		rows = append(rows, output{windowID{fields[0], at.UnixMilli()}, mean})
	}
	return rows
}

// The checker is worth nothing if it would not see a fault.
func TestCheckerSeesFaults(t *testing.T) {
	o := compute(t, sample, 4)
	for _, emit := range []string{"update", "commit", "close"} {
		rows := perfectOutput(o, emit)
		if v := judge(o, emit, rows); v != (verdict{}) {
			t.Fatalf("%s: a perfect output of %d rows is found to have %v", emit, len(rows), v)
		}
		// A row at which a sample of the updates ends, and whose mean differs from
		// the ones before it, so that repeating it is a fault in every mode.
		i := slices.IndexFunc(rows, func(r output) bool {
			means := o.hourly[r.id].means
			return len(means) > 2 && r.mean == means[len(means)-1] && !slices.Contains(means[:len(means)-1], r.mean)
		})
		if v := judge(o, emit, slices.Delete(slices.Clone(rows), i, i+1)); v.lost != 1 {
			t.Errorf("%s: one row is missing, found %v", emit, v)
		}
		if v := judge(o, emit, slices.Insert(slices.Clone(rows), i, rows[i])); v.dup != 1 {
			t.Errorf("%s: one row is there twice, found %v", emit, v)
		}
		changed := slices.Clone(rows)
		changed[i].mean++
		if v := judge(o, emit, changed); v.wrong != 1 {
			t.Errorf("%s: one row is wrong, found %v", emit, v)
		}
		changed = slices.Clone(rows)
		slices.Reverse(changed)
		if v := judge(o, emit, changed); v.wrong == 0 {
			t.Errorf("%s: the order is not looked at", emit)
		}
	}
}

func perfectOutput(o *offline, emit string) []output {
	var rows []output
	for id, h := range o.hourly {
		means := h.means
		if emit == "close" {
			means = means[len(means)-1:]
		}
		for _, mean := range means {
			if emit != "close" || h.closed {
				rows = append(rows, output{id, mean})
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b output) int {
		if p, q := o.partition(a.id.meter), o.partition(b.id.meter); p != q {
			return int(p - q)
		}
		return int((a.id.start - b.id.start) / 60_000)
	})
	return rows
}
