package topology

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// recordedAppend is one call of Output.Append.
type recordedAppend struct {
	partition  int32
	key, value []byte
}

type recordingOutput struct{ calls []recordedAppend }

func (o *recordingOutput) Append(p int32, _ int64, key, value []byte, _ []processor.Header) error {
	o.calls = append(o.calls, recordedAppend{p, key, value})
	return nil
}

// sinkInstance wires a topology with one source and one sink for partition 2 of
// a sink with 5.
func sinkInstance[K, V any](t *testing.T, in, out Topic[K, V], place func([]byte, int32) int32) (*Instance, *recordingOutput) {
	t.Helper()
	b := New("app")
	Source(b, in).To(out)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	o := &recordingOutput{}
	inst, err := topo.Subs()[0].Instantiate(Env{Partition: 2, Output: func(string) Output { return o },
		Placement: func(*TopicDecl) (func([]byte, int32) int32, int32) { return place, 5 }})
	if err != nil {
		t.Fatal(err)
	}
	return inst, o
}

func process(inst *Instance, raw Raw) error {
	s := inst.Sources()[0]
	ts, ok, err := s.Decode(&raw)
	if err != nil || !ok {
		return err
	}
	return inst.Process(s, ts)
}

func TestSinkPlacesByKeyAndNullKeysByTask(t *testing.T) {
	inst, out := sinkInstance(t, nullable("in"), nullable("out"), func(key []byte, n int32) int32 { return int32(len(key)) % n })
	for _, raw := range []Raw{{Key: []byte("abc")}, {Key: []byte{}, Value: make([]byte, 8)}, {}} {
		if err := process(inst, raw); err != nil {
			t.Fatal(err)
		}
	}
	want := []recordedAppend{{3, []byte("abc"), nil}, {0, []byte{}, make([]byte, 8)}, {2, nil, nil}}
	if fmt.Sprint(out.calls) != fmt.Sprint(want) || out.calls[1].key == nil || out.calls[2].key != nil || out.calls[0].value != nil {
		t.Fatalf("got %v want %v", out.calls, want)
	}
}

func TestSinkPlacesWindowedKeysByTheirInnerKey(t *testing.T) {
	var placed string
	inst, _ := sinkInstance(t, windowed("in", 10), windowed("out", 10), func(key []byte, _ int32) int32 { placed = string(key); return 0 })
	key, err := serde.TimeWindowed(serde.String, ms(10)).Append(nil, processor.Windowed[string]{Key: "inner", Start: 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := process(inst, Raw{Key: key, Value: make([]byte, 8)}); err != nil {
		t.Fatal(err)
	}
	if placed != "inner" {
		t.Fatalf("placed by %q", placed)
	}
}

func TestSinkRefusesAPartitionThatDoesNotExist(t *testing.T) {
	for _, p := range []int32{-1, 5} {
		inst, _ := sinkInstance(t, numbers("in"), numbers("out"), func([]byte, int32) int32 { return p })
		err := process(inst, Raw{Key: []byte("a"), Value: make([]byte, 8)})
		if want := fmt.Sprintf("node out: the partitioner placed a key on partition %d of 5", p); err == nil || err.Error() != want {
			t.Fatalf("error is %v, want %s", err, want)
		}
	}
}

// refusing is a string serde that encodes everything but "bad".
type refusing struct{ serde.Serde[string] }

func (r refusing) Append(dst []byte, s string) ([]byte, error) {
	if s == "bad" {
		return dst, errors.New("refused")
	}
	return r.Serde.Append(dst, s)
}

func TestEncodeErrorsNameTheSink(t *testing.T) {
	strings := func(name string, key, value serde.Serde[string]) Topic[string, string] {
		return Topic[string, string]{Name: name, Partitions: 1, Key: key, Value: value}
	}
	for name, out := range map[string]Topic[string, string]{
		"key":   strings("out", refusing{serde.String}, serde.String),
		"value": strings("out", serde.String, refusing{serde.String}),
	} {
		inst, _ := sinkInstance(t, strings("in", serde.String, serde.String), out, func([]byte, int32) int32 { return 0 })
		var failed *NodeError
		err := process(inst, Raw{Key: []byte("bad"), Value: []byte("bad")})
		if !errors.As(err, &failed) || failed.Class != ClassEncode || failed.Node != "out" {
			t.Fatalf("%s: error is %v", name, err)
		}
		if err := process(inst, Raw{Key: []byte("good"), Value: []byte("good")}); err != nil {
			t.Fatalf("%s: after an error: %v", name, err)
		}
	}
}
