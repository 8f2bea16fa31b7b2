package topology

import (
	"errors"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state/memdb"
)

// holding wires a processor that holds every record, and returns what releases
// them. released counts the calls of Env.Released; nil is an engine without it.
func holding(t *testing.T, released *int) (inst *Instance, process func(), releases *[]func(error)) {
	t.Helper()
	releases = new([]func(error))
	b := New("app")
	in := Source(b, Topic[string, string]{Name: "in", Key: serde.String, Value: serde.String})
	Process(in, "holding", func() processor.Processor[string, string, string, string] {
		return processor.Func[string, string, string, string](func(ctx processor.Context[string, string], _ processor.Record[string, string]) error {
			*releases = append(*releases, ctx.(processor.Holder).Hold())
			return nil
		})
	})
	top, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	env := Env{View: memdb.New(), Now: func() time.Time { return time.Time{} }}
	if released != nil {
		env.Released = func() { *released++ }
	}
	if inst, err = top.Subs()[0].Instantiate(env); err != nil {
		t.Fatal(err)
	}
	source, offset := inst.Sources()[0], int64(0)
	return inst, func() {
		t.Helper()
		at, _, err := source.Decode(&Raw{Offset: offset, Key: []byte("k"), Value: []byte("v")})
		if err == nil {
			err = inst.Process(source, at)
		}
		if err != nil {
			t.Fatal(err)
		}
		offset++
	}, releases
}

func TestHold(t *testing.T) {
	released := 0
	inst, process, releases := holding(t, &released)
	held := func(want bool) {
		t.Helper()
		if got, err := inst.Held(); got != want || err != nil {
			t.Errorf("held %v, %v, want %v", got, err, want)
		}
	}
	held(false)
	process()
	process()
	held(true)
	(*releases)[1](nil)
	(*releases)[1](errors.New("too late to count"))
	held(true)
	(*releases)[0](nil)
	held(false)
	if released != 2 {
		t.Errorf("Released was called %d times, want 2", released)
	}
}

func TestHoldEndsWithAnError(t *testing.T) {
	released := 0
	inst, process, releases := holding(t, &released)
	process()
	process()
	cause := errors.New("refused elsewhere")
	(*releases)[1](cause)
	(*releases)[0](nil)
	held, err := inst.Held()
	if !held || err == nil || !errors.Is(err, cause) || err.Origin.Offset != 1 || err.Node == "" {
		t.Errorf("held %v, %v", held, err)
	}
}

// An engine that would not look at Held must not promise anything.
func TestHoldIsRefused(t *testing.T) {
	_, process, releases := holding(t, nil)
	process()
	if (*releases)[0] != nil {
		t.Error("a record is held, and nobody asks for it")
	}
}
