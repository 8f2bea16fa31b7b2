package gokacodec_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/lovoo/goka/codec"

	"github.com/tidemill/tidemill/processor/gokaprocessor/gokacodec"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

type point struct{ X, Y int }

type pointCodec struct{}

func (pointCodec) Encode(v any) ([]byte, error) { return json.Marshal(v) }

func (pointCodec) Decode(data []byte) (any, error) {
	var p point
	err := json.Unmarshal(data, &p)
	return p, err
}

func TestSerdes(t *testing.T) {
	t.Run("codec", func(t *testing.T) {
		serdetest.Run(t, gokacodec.Serde[point]("point", pointCodec{}), []point{{}, {1, -2}}, nil)
	})
	t.Run("goka's bytes", func(t *testing.T) {
		serdetest.Run(t, gokacodec.Serde[[]byte]("goka-bytes", new(codec.Bytes)), [][]byte{{}, {0}, []byte("text")}, nil)
	})
	t.Run("int64", func(t *testing.T) {
		serdetest.Run(t, gokacodec.Int64, []int64{0, -1, 42, math.MaxInt64, math.MinInt64}, nil)
	})
}

// The bytes are goka's own.
func TestBytesOfGoka(t *testing.T) {
	for _, n := range []int64{0, -7, math.MinInt64} {
		want, err := new(codec.Int64).Encode(n)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := gokacodec.Int64.Append(nil, n); err != nil || string(got) != string(want) {
			t.Errorf("%d is %q, %v; goka writes %q", n, got, err, want)
		}
	}
	want, err := new(codec.String).Encode("text")
	if got, _ := serde.String.Append(nil, "text"); err != nil || string(got) != string(want) {
		t.Errorf("%q, %v; goka writes %q", got, err, want)
	}
}

func TestMistakes(t *testing.T) {
	wrong := gokacodec.Serde[string]("wrong", pointCodec{})
	if _, err := wrong.Decode([]byte(`{}`)); err == nil || !strings.Contains(err.Error(), "point") {
		t.Errorf("a value of another type: %v", err)
	}
	if err := serde.Check(gokacodec.Serde[int]("none", nil)); err == nil {
		t.Error("no codec is not found")
	}
}

func FuzzInt64(f *testing.F) {
	f.Add([]byte("12"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := gokacodec.Int64.Decode(data)
		want, gokas := new(codec.Int64).Decode(data)
		if (err == nil) != (gokas == nil) || err == nil && want.(int64) != got {
			t.Errorf("%q is %d, %v; in goka %v, %v", data, got, err, want, gokas)
		}
	})
}
