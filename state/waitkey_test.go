package state

import (
	"bytes"
	"testing"
)

// Entries of rows that wait can be taken apart, and sort as their times and keys
// do.
func FuzzWaitKey(f *testing.F) {
	f.Add([]byte("a"), []byte("a\x00"), int64(7))
	f.Add([]byte("a\x00\xff"), []byte("a\x00\x01"), int64(0))
	f.Add([]byte{}, []byte{0}, int64(1))
	f.Fuzz(func(t *testing.T, a, b []byte, time int64) {
		time &= 1<<62 - 1
		one, other := AppendWaitKey(nil, 3, time, 9, a), AppendWaitKey(nil, 3, time, 1, b)
		at, key, err := splitWaitKey(one)
		if err != nil || at != time || !bytes.Equal(key, a) {
			t.Fatalf("%x comes back as %d, %x, %v", a, at, key, err)
		}
		if want := bytes.Compare(a, b); want != 0 && bytes.Compare(one, other) != want {
			t.Fatalf("entries of %x and %x sort as %x and %x", a, b, one, other)
		}
		if _, _, err := splitWaitKey(a); err == nil && len(a) < idBytes+1+timeBytes+2+seqBytes {
			t.Fatalf("%x was taken apart", a)
		}
	})
}
