package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// windowID names a window of a meter; start is in milliseconds since 1970.
type windowID struct {
	meter string
	start int64
}

// history is what a window went through: its mean after every reading.
type history struct {
	sum, n float64
	means  []float64
	closed bool
}

// offline is what the example must compute, from a map and a loop that share no
// code with it.
type offline struct {
	partitions       int32
	hourly, lastHour map[windowID]*history
	late             int // readings that no hourly window took any more
	valid            int
}

func compute(t testing.TB, file []byte, partitions int32) *offline {
	t.Helper()
	o := &offline{partitions: partitions, hourly: map[windowID]*history{}, lastHour: map[windowID]*history{}}
	streamTime := make([]int64, partitions)
	for _, fields := range records(t, file) {
		at, err := time.Parse(time.RFC3339, fields[1])
		kwh, err2 := strconv.ParseFloat(fields[2], 64)
		if err != nil || err2 != nil {
			t.Fatalf("%v: %v %v", fields, err, err2)
		}
		if kwh < 0 {
			continue
		}
		o.valid++
		now := &streamTime[o.partition(fields[0])]
		*now = max(*now, at.UnixMilli())
		if !add(o.hourly, fields[0], kwh, at.UnixMilli(), 3_600_000, *now) {
			o.late++
		}
		add(o.lastHour, fields[0], kwh, at.UnixMilli(), 900_000, *now)
	}
	for id, h := range o.hourly {
		h.closed = isClosed(id.start, streamTime[o.partition(id.meter)])
	}
	return o
}

func (o *offline) partition(meter string) int32 {
	return commitlog.Murmur2([]byte(meter), o.partitions)
}

// isClosed: the window of an hour and the 15 minutes of grace are over.
func isClosed(start, streamTime int64) bool { return start+3_600_000+900_000 <= streamTime }

// add puts a reading into every window of an hour that contains it and is open.
// Windows start at multiples of advance, in milliseconds.
func add(windows map[windowID]*history, meter string, kwh float64, at, advance, streamTime int64) (taken bool) {
	for start := at - at%advance; start > at-3_600_000; start -= advance {
		if isClosed(start, streamTime) {
			continue
		}
		id := windowID{meter, start}
		h := windows[id]
		if h == nil {
			h = &history{}
			windows[id] = h
		}
		h.sum, h.n = h.sum+kwh, h.n+1
		h.means = append(h.means, h.sum/h.n)
		taken = true
	}
	return taken
}

// records are the lines of a well-formed file behind its header.
func records(t testing.TB, file []byte) [][]string {
	t.Helper()
	var r io.Reader = bytes.NewReader(file)
	if bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
		var err error
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	all, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all[1:]
}
