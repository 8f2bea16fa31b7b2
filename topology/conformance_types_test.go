package topology_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/topology"
)

// Key is the key of every stream of a scenario: a text, and the window if the
// key is a windowed one. One type for both lets one sink serve both, and windowed
// results be grouped again.
type Key struct {
	Text       string
	Windowed   bool
	Start, End int64
}

func (k Key) String() string {
	if !k.Windowed {
		return strconv.Quote(k.Text)
	}
	return fmt.Sprintf("%q@[%d,%d]", k.Text, k.Start, k.End)
}

func windowKey(w processor.Windowed[Key]) Key {
	return Key{Text: w.Key.Text, Windowed: true, Start: int64(w.Start), End: int64(w.End)}
}

// windowedSerde writes windowed keys of any kind, with both ends.
type windowedSerde struct{}

func (windowedSerde) Name() string { return "conformance-windowed" }

func (windowedSerde) Append(dst []byte, w processor.Windowed[Key]) ([]byte, error) {
	return keySerde{}.Append(dst, windowKey(w))
}

func (windowedSerde) Decode(src []byte) (processor.Windowed[Key], error) {
	k, err := keySerde{}.Decode(src)
	return processor.Windowed[Key]{Key: Key{Text: k.Text}, Start: processor.Timestamp(k.Start), End: processor.Timestamp(k.End)}, err
}

// ValueKind says which of the types of a scenario's values a Value has.
type ValueKind byte

const (
	TextValue   ValueKind = 's'
	IntValue    ValueKind = 'i'
	DoubleValue ValueKind = 'd'
)

// Value is a value of a scenario.
type Value struct {
	Kind   ValueKind
	Text   string
	Int    int64
	Double float64
}

func textValue(s string) Value    { return Value{Kind: TextValue, Text: s} }
func intValue(n int64) Value      { return Value{Kind: IntValue, Int: n} }
func doubleValue(f float64) Value { return Value{Kind: DoubleValue, Double: f} }

// String is the text form that functions of the scenarios work on.
func (v Value) String() string {
	switch v.Kind {
	case IntValue:
		return strconv.FormatInt(v.Int, 10)
	case DoubleValue:
		return strconv.FormatFloat(v.Double, 'f', 1, 64)
	}
	return v.Text
}

func (v Value) number() float64 {
	if v.Kind == IntValue {
		return float64(v.Int)
	}
	return v.Double
}

type (
	optKey   = processor.Opt[Key]
	optValue = processor.Opt[Value]
	stream   = topology.Stream[optKey, optValue]
)

// keySerde writes the text behind a tag, and behind the window of windowed keys.
type keySerde struct{}

func (keySerde) Name() string { return "conformance-key" }

func (keySerde) Append(dst []byte, k Key) ([]byte, error) {
	if !k.Windowed {
		return append(append(dst, 'k'), k.Text...), nil
	}
	dst = binary.BigEndian.AppendUint64(append(dst, 'w'), uint64(k.Start))
	return append(binary.BigEndian.AppendUint64(dst, uint64(k.End)), k.Text...), nil
}

func (keySerde) Decode(src []byte) (Key, error) {
	switch {
	case len(src) >= 1 && src[0] == 'k':
		return Key{Text: string(src[1:])}, nil
	case len(src) >= 17 && src[0] == 'w':
		return Key{Text: string(src[17:]), Windowed: true,
			Start: int64(binary.BigEndian.Uint64(src[1:])), End: int64(binary.BigEndian.Uint64(src[9:]))}, nil
	}
	return Key{}, fmt.Errorf("%q is not a key of a scenario", src)
}

// valueSerde writes the kind and then text or eight bytes.
type valueSerde struct{}

func (valueSerde) Name() string { return "conformance-value" }

func (valueSerde) Append(dst []byte, v Value) ([]byte, error) {
	dst = append(dst, byte(v.Kind))
	switch v.Kind {
	case TextValue:
		return append(dst, v.Text...), nil
	case IntValue:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int)), nil
	case DoubleValue:
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v.Double)), nil
	}
	return dst[:len(dst)-1], fmt.Errorf("value without a kind")
}

func (valueSerde) Decode(src []byte) (Value, error) {
	switch {
	case len(src) >= 1 && src[0] == byte(TextValue):
		return textValue(string(src[1:])), nil
	case len(src) == 9 && src[0] == byte(IntValue):
		return intValue(int64(binary.BigEndian.Uint64(src[1:]))), nil
	case len(src) == 9 && src[0] == byte(DoubleValue):
		return doubleValue(math.Float64frombits(binary.BigEndian.Uint64(src[1:]))), nil
	}
	return Value{}, fmt.Errorf("%q is not a value of a scenario", src)
}

// conformanceTopic is any topic of a scenario.
func conformanceTopic(name string) topology.Topic[optKey, optValue] {
	return topology.Topic[optKey, optValue]{Name: name, Partitions: 1,
		Key: serde.Nullable[Key](keySerde{}), Value: serde.Nullable[Value](valueSerde{})}
}
