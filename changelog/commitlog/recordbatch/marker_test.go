package recordbatch

import (
	"encoding/binary"
	"testing"
)

// controlBatch makes a control batch with one record of the given key.
func controlBatch(t *testing.T, key []byte) Batch {
	t.Helper()
	var b Builder
	b.Append(1, key, []byte{0, 0, 0, 0, 0, 0}, nil)
	raw := b.Seal(Producer{ID: 7, Epoch: 1, Sequence: -1}, true)
	binary.BigEndian.PutUint16(raw[atAttributes:], transactionalBit|controlBit)
	batch, _, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func TestMarker(t *testing.T) {
	for name, c := range map[string]struct {
		key           []byte
		committed, ok bool
	}{
		"abort":          {[]byte{0, 0, 0, 0}, false, true},
		"commit":         {[]byte{0, 0, 0, 1}, true, true},
		"leader change":  {[]byte{0, 0, 0, 2}, false, false},
		"newer version":  {[]byte{0, 1, 0, 1, 9}, true, true},
		"key cut off":    {[]byte{0, 0, 0}, false, false},
		"key of nothing": {nil, false, false},
	} {
		if committed, ok := controlBatch(t, c.key).Marker(); committed != c.committed || ok != c.ok {
			t.Errorf("%s: %v, %v", name, committed, ok)
		}
	}
	emptied := controlBatch(t, []byte{0, 0, 0, 1})
	emptied.Raw, emptied.Count = emptied.Raw[:HeaderSize], 0
	if _, ok := emptied.Marker(); ok {
		t.Error("an emptied control batch has a marker")
	}
	var b Builder
	b.Append(1, []byte{0, 0, 0, 1}, nil, nil)
	records, _, err := Parse(b.Seal(NoProducer, false))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := records.Marker(); ok {
		t.Error("a batch of records has a marker")
	}
}
