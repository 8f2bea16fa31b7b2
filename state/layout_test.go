package state_test

import (
	"bytes"
	"testing"

	"github.com/tidemill/tidemill/processor/serde/serdetest"
	"github.com/tidemill/tidemill/state"
)

func FuzzLayout(f *testing.F) {
	f.Add([]byte("key"), int64(5), []byte("value"), int64(7))
	f.Add([]byte{}, int64(0), []byte{}, int64(0))
	f.Fuzz(func(t *testing.T, key []byte, start int64, value []byte, time int64) {
		for _, kind := range []state.Kind{state.KindKeyValue, state.KindWindow} {
			row := state.AppendRowKey(nil, 3, kind, start, key)
			gotStart, gotKey, err := state.SplitRowKey(kind, row)
			if err != nil || !bytes.Equal(gotKey, key) || (kind == state.KindWindow && gotStart != start) {
				t.Fatalf("row key of a %v store: %d %x %v", kind, gotStart, gotKey, err)
			}
			logged := state.AppendChangelogKey(nil, kind, start, key)
			gotStart, gotKey, err = state.SplitChangelogKey(kind, logged)
			if err != nil || !bytes.Equal(gotKey, key) || (kind == state.KindWindow && gotStart != start) {
				t.Fatalf("changelog key of a %v store: %d %x %v", kind, gotStart, gotKey, err)
			}
			// Whatever lies on disk must not panic, nor make room for what is not there.
			serdetest.Bounded(t, len(key), func() {
				_, _, _ = state.SplitRowKey(kind, key)
				_, _, _ = state.SplitChangelogKey(kind, key)
			})
		}
		gotTime, gotValue, err := state.SplitRowValue(state.AppendRowValue(nil, time, value))
		if err != nil || gotTime != time || !bytes.Equal(gotValue, value) {
			t.Fatalf("row value: %d %x %v", gotTime, gotValue, err)
		}
		_, _, _ = state.SplitRowValue(value)
	})
}

func TestPrefixEnd(t *testing.T) {
	for _, c := range []struct{ prefix, want []byte }{
		{[]byte("a"), []byte("b")}, {[]byte{1, 0xff}, []byte{2}}, {[]byte{0xff, 0xff}, nil}, {nil, nil},
	} {
		if got := state.PrefixEnd(c.prefix); !bytes.Equal(got, c.want) {
			t.Errorf("PrefixEnd(%x) = %x, want %x", c.prefix, got, c.want)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "a/b", "a b", "ä", "a\x00", string(make([]byte, 300))} {
		if state.CheckName(bad) == nil {
			t.Errorf("the name %q is accepted", bad)
		}
	}
	for _, good := range []string{"a", "meter-readings.v2_x", "A9"} {
		if err := state.CheckName(good); err != nil {
			t.Error(err)
		}
	}
}
