package query

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

func TestTypedGet(t *testing.T) {
	f := filled(t)
	v, a, ok, err := Get(t.Context(), f, people, "ada")
	if err != nil || !ok || v != (person{"ada", 33}) {
		t.Errorf("Get is %v, %v, %v", v, ok, err)
	}
	if want := f.PartitionOf("people", []byte("ada")); a.Partition != want || a.Position[want]["visits"] != 100+int64(want) {
		t.Errorf("the answer is of %+v", a)
	}
	if _, _, ok, err := Get(t.Context(), f, people, "zoe"); ok || err != nil {
		t.Errorf("a key that is not there: %v, %v", ok, err)
	}
	var p *Problem
	if _, _, _, err := Get(t.Context(), f, state.KeyValue("other", serde.String, serde.String), "x"); !errors.As(err, &p) || p.Code != CodeStoreNotFound {
		t.Errorf("an unknown store: %v", err)
	}
	if _, _, _, err := Get(t.Context(), f, state.KeyValue("people", serde.String, serde.Int64), "ada"); err == nil || !strings.Contains(err.Error(), "value serde") {
		t.Errorf("a handle of other types: %v", err)
	}
	f.put(t, "numbers", make([]byte, 8), []byte("short"))
	lowest := int64(-1 << 63)
	if _, _, ok, err := Get(t.Context(), f, numbers, lowest); ok || err == nil {
		t.Errorf("a value that does not decode: %v, %v", ok, err)
	}
	f.checkClosed(t)
}

func TestTypedWindows(t *testing.T) {
	f := filled(t)
	f.horizon = 3_600_000
	show := func(rows []WindowRow[string, int64]) (out string) {
		for _, r := range rows {
			out += fmt.Sprintf("%s@%d-%d=%d ", r.Key.Key, int64(r.Key.Start)/3_600_000, int64(r.Key.End)/3_600_000, r.Value)
		}
		return out
	}
	rows, a, err := GetWindows(t.Context(), f, hourly, "m1", time.Time{}, time.UnixMilli(3*3_600_000))
	if got := show(rows); err != nil || got != "m1@1-2=1 m1@2-3=2 " || a.Partition != f.PartitionOf("", []byte("m1")) {
		t.Errorf("windows are %s, %v", got, err)
	}
	rows = nil
	_, err = ScanWindows(t.Context(), f, hourly, time.UnixMilli(2*3_600_000), time.Time{}, func(r WindowRow[string, int64]) bool {
		rows = append(rows, r)
		return len(rows) < 3
	})
	if got := show(rows); err != nil || got != "m1@2-3=2 m2@2-3=2 m1@3-4=3 " {
		t.Errorf("windows are %s, %v", got, err)
	}
	f.checkClosed(t)
}

func TestTypedScan(t *testing.T) {
	f := filled(t)
	var keys []int64
	a, err := Scan(t.Context(), f, numbers, Range[int64]{From: processor.Some[int64](1), To: processor.Some[int64](4), Reverse: true},
		func(k, v int64) bool {
			if v != k*k {
				t.Errorf("value of %d is %d", k, v)
			}
			keys = append(keys, k)
			return true
		})
	if err != nil || fmt.Sprint(keys) != "[3 2 1]" || a.Partition != -1 || len(a.Position) != fakePartitions {
		t.Errorf("keys are %v, %+v, %v", keys, a, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err = Scan(ctx, f, numbers, Range[int64]{}, func(int64, int64) bool { n++; cancel(); return true })
	if !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("a cancelled scan visits %d rows, %v", n, err)
	}
	f.checkClosed(t)
}
