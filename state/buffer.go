package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// Waiting is an update of a table that waits to be passed on, with what the record
// that caused it leaves behind.
type Waiting[V any] struct {
	New     processor.Opt[V]
	Old     processor.Opt[V] // what was there before the first update that waits
	Headers []processor.Header
	Origin  processor.Origin
}

// BufferStore is the handle of a store in which updates of a table wait: at most
// one per key, under the time it waits for. Suppression makes it, with the keys
// and values of the table's own store.
type BufferStore[G, V any] struct {
	name string
	rows Materialized[G, V]
}

// Buffer declares the buffer of a table whose rows lie in that store. The name is
// durable: it is part of the changelog topic's name.
func Buffer[G, V any](name string, rows Materialized[G, V]) BufferStore[G, V] {
	return BufferStore[G, V]{name, rows}
}

// Spec implements Handle.
func (h BufferStore[G, V]) Spec() Spec {
	s := h.rows.Spec()
	return Spec{Name: h.name, Kind: KindBuffer, Key: s.Key, Value: "waiting " + s.Value}
}

// Open implements Handle.
func (h BufferStore[G, V]) Open(env Env) (Instance, error) { return h.OpenSpans(env) }

// OpenSpans makes the buffer of a task.
func (h BufferStore[G, V]) OpenSpans(env Env) (Spans[Waiting[V]], error) {
	values, ok := h.rows.ValueSerde().(serde.Serde[V])
	if !ok {
		return nil, fmt.Errorf("store %s has no serde of its values for the buffer %s", h.rows.Spec().Name, h.name)
	}
	return openSpans[Waiting[V]](env, waitingSerde[V]{values})
}

// KeySerde implements Handle: the serde of the keys, without the window.
func (h BufferStore[G, V]) KeySerde() any { return h.rows.KeySerde() }

// ValueSerde implements Handle.
func (h BufferStore[G, V]) ValueSerde() any {
	values, _ := h.rows.ValueSerde().(serde.Serde[V])
	return waitingSerde[V]{values}
}

// AppendKey appends the key under which an update waits: that of the row and, in a
// table of windows, start and end.
func (h BufferStore[G, V]) AppendKey(dst []byte, g G, window func(G) (start, end processor.Timestamp)) ([]byte, error) {
	_, key, err := h.rows.StoredKey(dst, g)
	if err != nil || h.rows.Spec().Kind == KindKeyValue {
		return key, err
	}
	start, end := window(g)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(key, uint64(start)), uint64(end)), nil
}

// ResultKey decodes a key of AppendKey, which must never be written to again.
func (h BufferStore[G, V]) ResultKey(key []byte) (g G, err error) {
	if h.rows.Spec().Kind == KindKeyValue {
		return h.rows.ResultKey(0, key, 0)
	}
	n := len(key) - 16
	if n < 0 {
		return g, fmt.Errorf("key in the buffer %s has %d bytes, at least 16 expected", h.name, len(key))
	}
	start, end := binary.BigEndian.Uint64(key[n:]), binary.BigEndian.Uint64(key[n+8:])
	return h.rows.ResultKey(int64(start), key[:n:n], int64(end-start))
}

func (BufferStore[G, V]) sealed() {}

// waitingSerde writes a Waiting as FORMAT.md draws it.
type waitingSerde[V any] struct{ value serde.Serde[V] }

const (
	waitingNew = 1 << iota
	waitingOld
	waitingOrigin
)

func (s waitingSerde[V]) Name() string { return "waiting " + s.value.Name() }

func (s waitingSerde[V]) Append(dst []byte, w Waiting[V]) ([]byte, error) {
	at := len(dst)
	dst = append(dst, 0)
	var err error
	if w.Old.OK {
		dst[at] |= waitingOld
		dst = append(dst, 0, 0, 0, 0)
		size := len(dst)
		if dst, err = s.value.Append(dst, w.Old.Value); err != nil {
			return dst, err
		}
		binary.BigEndian.PutUint32(dst[size-4:], uint32(len(dst)-size))
	}
	dst = binary.AppendUvarint(dst, uint64(len(w.Headers)))
	for _, h := range w.Headers {
		dst = append(binary.AppendUvarint(dst, uint64(len(h.Key))), h.Key...)
		if h.Value == nil {
			dst = append(dst, 0)
			continue
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(h.Value))+1), h.Value...)
	}
	if o := w.Origin; o != (processor.Origin{}) {
		dst[at] |= waitingOrigin
		dst = append(binary.AppendUvarint(dst, uint64(len(o.Topic))), o.Topic...)
		dst = binary.AppendVarint(binary.AppendVarint(dst, int64(o.Partition)), o.Offset)
	}
	if w.New.OK {
		dst[at] |= waitingNew
		return s.value.Append(dst, w.New.Value)
	}
	return dst, nil
}

func (s waitingSerde[V]) Decode(src []byte) (w Waiting[V], err error) {
	r := waitingReader{rest: src}
	flags := r.take(1)
	if r.failed {
		return w, errWaiting
	}
	if flags[0]&waitingOld != 0 {
		if n := r.take(4); !r.failed {
			if old := r.take(uint64(binary.BigEndian.Uint32(n))); !r.failed {
				if w.Old.Value, err = s.value.Decode(old); err != nil {
					return w, err
				}
				w.Old.OK = true
			}
		}
	}
	for n := r.uvarint(); n > 0 && !r.failed; n-- {
		h := processor.Header{Key: string(r.take(r.uvarint()))}
		if size := r.uvarint(); size > 0 {
			h.Value = append([]byte{}, r.take(size-1)...)
		}
		w.Headers = append(w.Headers, h)
	}
	if flags[0]&waitingOrigin != 0 {
		w.Origin.Topic = string(r.take(r.uvarint()))
		w.Origin.Partition, w.Origin.Offset = int32(r.varint()), r.varint()
	}
	if r.failed {
		return w, errWaiting
	}
	if flags[0]&waitingNew != 0 {
		w.New.OK = true
		w.New.Value, err = s.value.Decode(r.rest)
	}
	return w, err
}

var errWaiting = errors.New("an update in a buffer ends too early")

// waitingReader takes a stored update apart. After the first failure it gives
// nothing.
type waitingReader struct {
	rest   []byte
	failed bool
}

func (r *waitingReader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *waitingReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.failed = true
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *waitingReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.failed = true
		return 0
	}
	r.take(uint64(n))
	return v
}
