package topology

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// show decodes bytes for a person.
func show(s any, raw []byte) string {
	if raw == nil {
		return "null"
	}
	switch s := s.(type) {
	case serde.Serde[string]:
		return shown(s, raw)
	case serde.Serde[int64]:
		return shown(s, raw)
	case serde.Serde[processor.Opt[string]]:
		return shown(s, raw)
	case serde.Serde[processor.Opt[int64]]:
		return shown(s, raw)
	case serde.Serde[processor.Windowed[string]]:
		w, err := s.Decode(raw)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s[%d,%d)", w.Key, w.Start, w.End)
	}
	return fmt.Sprintf("%x", raw)
}

func shown[T any](s serde.Serde[T], raw []byte) string {
	v, err := s.Decode(raw)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(v)
}

// rows returns the committed rows of a key-value store as "key=value@time".
func (d *driver) rows(store string) (out []string) {
	return d.eachRow(store, func(_ int64, key []byte, time int64, value []byte) string {
		return fmt.Sprintf("%s=%s@%d", key, show(serde.Int64, value), time)
	})
}

// windowRows returns the committed rows of a window store as "key@start=value@time".
func (d *driver) windowRows(store string) []string {
	return d.eachRow(store, func(start int64, key []byte, time int64, value []byte) string {
		return fmt.Sprintf("%s@%d=%s@%d", key, start, show(serde.Int64, value), time)
	})
}

func (d *driver) eachRow(store string, line func(start int64, key []byte, time int64, value []byte) string) (out []string) {
	d.t.Helper()
	d.commit()
	for _, task := range d.tasks {
		for _, spec := range task.sub.Stores {
			if spec.Name != store {
				continue
			}
			lower, upper := state.StoreRange(task.env().StoreID(store))
			it, err := task.db.Iter(lower, upper, false)
			d.must(err)
			for it.Next() {
				start, key, err := state.SplitRowKey(spec.Kind, it.Key())
				d.must(err)
				time, value, err := state.SplitRowValue(it.Value())
				d.must(err)
				out = append(out, line(start, key, time, value))
			}
			d.must(it.Close())
		}
	}
	return out
}

// Topics and stores that most tests use.
func numbers(name string) Topic[string, int64] {
	return Topic[string, int64]{Name: name, Partitions: 1, Key: serde.String, Value: serde.Int64}
}

func nullable(name string) Topic[processor.Opt[string], processor.Opt[int64]] {
	return Topic[processor.Opt[string], processor.Opt[int64]]{Name: name, Partitions: 1,
		Key: serde.Nullable(serde.String), Value: serde.Nullable(serde.Int64)}
}

func deletable(name string) Topic[string, processor.Opt[int64]] {
	return Topic[string, processor.Opt[int64]]{Name: name, Partitions: 1, Key: serde.String, Value: serde.Nullable(serde.Int64)}
}

func windowed(name string, sizeMS int64) Topic[state.Windowed[string], int64] {
	return Topic[state.Windowed[string], int64]{Name: name, Partitions: 1,
		Key: serde.TimeWindowed(serde.String, ms(sizeMS)), Value: serde.Int64}
}

func rowsStore(name string) state.KeyValueStore[string, int64] {
	return state.KeyValue(name, serde.String, serde.Int64)
}

func windowStore(name string) state.WindowStore[string, int64] {
	return state.Window(name, serde.String, serde.Int64)
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func plus(a, v int64) int64 { return a + v }
