package topology

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// Buffer is where suppressed updates wait: a store with a changelog, so that they
// survive restarts and need not fit into memory.
type Buffer struct {
	// Name is the name of the store. It is durable.
	Name string
	// MaxRecords and MaxBytes bound what waits in one task; 0 is no bound. Bytes are
	// those of the encoded keys and updates.
	MaxRecords int64
	MaxBytes   int64
	// WhenFull says what happens beyond a bound. The default is EmitEarly.
	WhenFull WhenFull
}

// WhenFull says what a suppression does when its buffer is over a bound.
type WhenFull uint8

const (
	// EmitEarly passes on the oldest updates until the buffer is within its bounds.
	EmitEarly WhenFull = iota
	// Stop ends the task with a [BufferFullError].
	Stop
)

// BufferFullError says that the buffer of a suppression that must not emit early
// has outgrown its bounds. It stops the application whatever the poison policy is:
// leaving out the record at hand would not help.
type BufferFullError struct {
	Node           string
	Records, Bytes int64 // what would wait; Bytes is 0 if it is not bounded
}

func (e *BufferFullError) Error() string {
	return fmt.Sprintf("node %s: its buffer is full: %d updates, %d bytes would wait; raise Buffer.MaxRecords or MaxBytes", e.Node, e.Records, e.Bytes)
}

// SuppressUntilClose holds back the updates of each window until it has closed,
// and then passes on the last one: one final result per window. Deletions are
// never passed on.
//
// The clock is the highest time of the updates that reach the suppression: records
// that were late or filtered out above do not move it. A window is released when
// its end + grace <= clock (sessions: end + gap + grace), by end, then encoded key,
// with the time, headers and origin of its last update.
//
// As in Kafka Streams, sliding windows and sessions are released one millisecond
// before the last record that could change them would be late. Such a record makes
// the window come out once more.
//
// The keys and values are stored with the serdes of the table's own store. Where
// the table is a mapped view, insert [Table.Materialize] before.
func (t *Table[K, V]) SuppressUntilClose(buffer Buffer) *Table[K, V] {
	n := t.suppressNode(buffer)
	windows := t.windowed
	switch {
	case windows == nil || processor.WindowOf[K]() == nil:
		t.b.fail(n.name, "only the rows of windows have an end to wait for; suppress a windowed table, or use SuppressFor")
		return t
	case windows.kind == kindUnlimited:
		t.b.fail(n.name, "unlimited windows never close; use SuppressFor")
	case buffer.WhenFull == EmitEarly && (buffer.MaxRecords > 0 || buffer.MaxBytes > 0):
		t.b.fail(n.name, "results that leave a full buffer early are not final; set Buffer.WhenFull to Stop, or remove the bounds")
	}
	n.detail = append(n.detail, "until", "window close")
	out := t.suppress(n, buffer, suppression[K]{final: true, window: processor.WindowOf[K](), lag: windows.closeLag()})
	out.deletes = false
	return out
}

// SuppressFor holds back the updates of each key for up to d, and then passes on
// the last one: fewer updates per key, with the same last value. Deletions are
// passed on like other updates.
//
// The clock is the highest time of the updates that reach the suppression. A key is
// released when the time of the first update that waits is d or more behind it, by
// that time, then encoded key, with the time, headers and origin of its last
// update. Buffer bounds release the oldest keys earlier, or stop the task.
//
// The keys and values are stored with the serdes of the table's own store. Where
// the table is a mapped view, insert [Table.Materialize] before.
func (t *Table[K, V]) SuppressFor(d time.Duration, buffer Buffer) *Table[K, V] {
	n := t.suppressNode(buffer)
	if d < 0 || d%time.Millisecond != 0 {
		t.b.fail(n.name, "the duration %v must be a number of whole milliseconds, 0 or more", d)
	}
	n.detail = append(n.detail, "for", d.String())
	return t.suppress(n, buffer, suppression[K]{window: processor.WindowOf[K](), lag: d.Milliseconds()})
}

func (t *Table[K, V]) suppressNode(buffer Buffer) *node {
	n := t.b.add("suppress", t.n)
	n.table, n.name = true, buffer.Name
	if buffer.Name == "" {
		n.name = fmt.Sprintf("suppress-%d", n.id)
	}
	n.detail = append(n.detail, "store", buffer.Name)
	if buffer.MaxRecords < 0 || buffer.MaxBytes < 0 {
		t.b.fail(n.name, "the bounds of its buffer are negative; use 0 for none")
	}
	if t.sampled != "" && !t.b.sampled[t.sampled] {
		t.b.fail(n.name, "it would time the updates of store %s, which emits per commit, so the results would depend on "+
			"when commits happen; emit on update there, or call AcceptSampledUpdates(%q) first", t.sampled, t.sampled)
	}
	return n
}

// suppression says when an update is due: lag after its slot.
type suppression[K any] struct {
	final  bool // the slot is the window's end, and deletions are swallowed
	window func(K) (start, end processor.Timestamp)
	lag    int64
}

func (t *Table[K, V]) suppress(n *node, buffer Buffer, rule suppression[K]) *Table[K, V] {
	out := *t
	out.n, out.store, out.rows, out.sourceKey = n, buffer.Name, nil, ""
	if t.handle == nil {
		t.b.fail(n.name, "no store says how the rows of %s are stored; insert Materialize(store) before it", t.n.name)
		return &out
	}
	handle := state.Buffer(buffer.Name, t.handle)
	spec := handle.Spec()
	t.b.store(n, handle, spec, false)
	n.wire = func(w *wirer) any {
		s := &suppressor[K, V]{n: n, inst: w.instance, rule: rule, bounds: buffer, handle: handle,
			clock: w.instance.operatorClock(spec.Name), next: below[K, change[V]](w, n)}
		if err := s.open(w, spec); err != nil {
			w.fail(&NodeError{Node: n.name, Err: err})
		}
		return emit[K, change[V]](s.process)
	}
	return &out
}
