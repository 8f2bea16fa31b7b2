package processor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
)

func TestNullCheck(t *testing.T) {
	if processor.NullCheck[int]() != nil || processor.NullCheck[*int]() != nil {
		t.Error("a type that is no Opt may be null")
	}
	check := processor.NullCheck[processor.Opt[string]]()
	if check == nil || !check(processor.None[string]()) || check(processor.Some("")) {
		t.Error("an Opt is null if and only if it is absent")
	}
	if n := testing.AllocsPerRun(100, func() { check(processor.Some("x")) }); n != 0 {
		t.Errorf("checking allocates %v times", n)
	}
}

func TestTimestamp(t *testing.T) {
	at := time.Date(2025, 6, 1, 12, 0, 0, 123_456_789, time.FixedZone("x", 3600))
	ts := processor.TimestampOf(at)
	if got := ts.String(); got != "2025-06-01T11:00:00.123Z" {
		t.Error(got)
	}
	if got := ts.Add(1500 * time.Microsecond); got != ts+1 {
		t.Errorf("%d and 1.5 ms is %d", ts, got)
	}
}

func TestWithKeyKeepsTheRest(t *testing.T) {
	r := processor.Record[string, int]{Key: "k", Value: 1, Time: 7, Headers: []processor.Header{{Key: "h"}},
		Origin: processor.Origin{Topic: "in", Partition: 2, Offset: 9}}
	d := processor.WithKey(r, 5, "v")
	if d.Key != 5 || d.Value != "v" || d.Time != r.Time || d.Origin != r.Origin || len(d.Headers) != 1 {
		t.Errorf("derived %+v from %+v", d, r)
	}
	if d.Origin.String() != "in-2@9" || (processor.Origin{}).String() != "(no origin)" {
		t.Error(d.Origin)
	}
}

func ExampleOpt() {
	price := processor.Some(12)
	missing := processor.None[int]()
	if p, ok := price.Get(); ok {
		fmt.Println(p, missing, missing.Or(99))
	}
	// Output: 12 null 99
}
