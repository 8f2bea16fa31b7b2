package query

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

// FuzzCursor: no text but a sealed cursor opens, and one of these gives back the
// place that was sealed.
func FuzzCursor(f *testing.F) {
	s, scan := newSealer(NewSecret("key")), scanOf([]byte("store"))
	good, err := s.seal(scan, place{[]byte("row"), 2})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte("row"), int32(2))
	f.Add("", []byte{}, int32(0))
	f.Add("AQ", []byte{0xff, 0}, int32(-1))
	f.Fuzz(func(t *testing.T, text string, key []byte, partition int32) {
		serdetest.Bounded(t, len(text), func() { _, _ = s.open(scan, text) })
		if at, err := s.open(scan, text); err == nil {
			again, err := s.seal(scan, at)
			if err != nil || again != text {
				t.Fatalf("%q opens as %+v, which seals as %q, %v", text, at, again, err)
			}
		}
		sealed, err := s.seal(scan, place{key, partition})
		if err != nil {
			if len(key) <= maxCursorKey {
				t.Fatal(err)
			}
			return
		}
		at, err := s.open(scan, sealed)
		if err != nil || !bytes.Equal(at.rowKey, key) || at.partition != partition {
			t.Fatalf("(%q, %d) comes back as %+v, %v", key, partition, at, err)
		}
		if _, err := s.open(scanOf([]byte("other")), sealed); err == nil {
			t.Fatal("a cursor opens for another scan")
		}
	})
}

// FuzzKey: no key of a request makes parsing panic, whatever is parsed is shown
// as JSON, and its base64 form is the same key.
func FuzzKey(f *testing.F) {
	codecs := []codec{codecOf("string", serde.String), codecOf("int64", serde.Int64), codecOf("bytes", serde.Bytes),
		codecOf("json", serde.JSON[person]()), codecOf("time", serde.Time), codecOf("null", serde.Nullable(serde.String))}
	for _, text := range []string{"", "ada", "-1", "null", `"x"`, `{"name":"x"}`, "/z4=", "_z4", "\xff", "1970-01-01T00:00:00Z"} {
		f.Add(text, uint8(0), uint8(0))
	}
	f.Fuzz(func(t *testing.T, text string, which, how uint8) {
		c := codecs[int(which)%len(codecs)]
		enc, err := c.encoding([]string{"", "text", "b64", "json"}[how%4])
		if err != nil {
			return
		}
		serdetest.Bounded(t, len(text), func() { _, _ = c.parse(enc, text) })
		key, err := c.parse(enc, text)
		if err != nil {
			return
		}
		if key == nil {
			t.Fatalf("%q parses to null", text)
		}
		shown := append(c.appendField([]byte{'{'}, "key", key), '}')
		if !json.Valid(shown) {
			t.Fatalf("%q is shown as %s", key, shown)
		}
		var coded struct {
			Base64 *string `json:"key_base64"`
		}
		if err := json.Unmarshal(shown, &coded); err == nil && coded.Base64 != nil {
			again, err := parseBase64(*coded.Base64)
			if err != nil || !bytes.Equal(again, key) {
				t.Fatalf("%q comes back as %q, %v", key, again, err)
			}
		}
	})
}

// FuzzAppendRequest: no body makes reading records panic, and what is read keeps
// to the rules of a topic.
func FuzzAppendRequest(f *testing.F) {
	f.Add([]byte(`{"records":[{"key":"k","value":{"name":"x"},"time":5,"partition":1}]}`), true)
	f.Add([]byte(`{"records":[{"key_base64":"aw==","value_base64":"","time":"1970-01-01T00:00:00Z"}]}`), false)
	f.Add([]byte(`{"records":[{"key":null,"time":null}]}`), false)
	f.Fuzz(func(t *testing.T, body []byte, declared bool) {
		tp := topic{key: codecOf("", nil), value: codecOf("", nil)}
		if declared {
			tp.key, tp.value = codecOf("string", serde.String), codecOf("json", serde.JSON[person]())
		}
		tp.Partitions = 2
		var req appendRequest
		var err error
		serdetest.Bounded(t, len(body), func() { err = readJSON(bytes.NewReader(body), &req) })
		if err != nil {
			return
		}
		for _, r := range req.Records {
			out, err := r.encode(tp)
			if err != nil {
				continue
			}
			if declared && (out.Key == nil || out.Value == nil) || out.Partition != nil && (*out.Partition < 0 || *out.Partition > 1) {
				t.Fatalf("%s gives %+v", body, out)
			}
			if !out.Time.IsZero() && out.Time.UnixMilli() < 0 {
				t.Fatalf("%s gives time %v", body, out.Time)
			}
		}
	})
}
