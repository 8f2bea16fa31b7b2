package serde_test

import (
	"cmp"
	"testing"
	"unsafe"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

var texts = []string{"", "a", "a\x00", "a\x00b", "a\x01", "b", "meter 17", "käse", "\u2028", `quote " and \`, "\n\t", "<&>", "\x7f", "日本"}

func TestString(t *testing.T) {
	serdetest.Run(t, serde.String, texts, nil)
	serdetest.RunOrdered(t, serde.String, append(texts, "\xff\xfe"), cmp.Compare)
	wantHex(t, serde.String, "m17", "6d 31 37")
	wantJSON(t, serde.String, "<käse>", `"<käse>"`)
	wantText(t, serde.String, "m17", "m17")
	wantNull(t, serde.String)
	refusesJSON(t, serde.String, "", "17", "null", `"a`, "\"\xff\"")
}

func TestStringThatIsNotUTF8(t *testing.T) {
	b := encode(t, serde.String, "a\xff")
	if got, err := serde.String.Decode(b); err != nil || got != "a\xff" {
		t.Errorf("Decode = %q, %v", got, err)
	}
	_, err := serde.String.(serde.Transcoder).AppendJSON(nil, b)
	wantError(t, err, "string", "UTF-8")
}

func TestStringAliases(t *testing.T) {
	src := []byte("value")
	got, err := serde.String.(serde.Aliaser[string]).DecodeAlias(src)
	if err != nil || unsafe.StringData(got) != unsafe.SliceData(src) {
		t.Errorf("DecodeAlias = %q, %v, want a string over the source", got, err)
	}
}
