package serde_test

import (
	"bytes"
	"testing"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

func TestBytes(t *testing.T) {
	values := [][]byte{{}, {0}, {0, 1}, {0, 255}, []byte("bytes"), {255}, nil}
	serdetest.Run(t, serde.Bytes, values, bytes.Equal)
	serdetest.RunOrdered(t, serde.Bytes, values, bytes.Compare)
	wantHex(t, serde.Bytes, []byte{0, 255}, "00 ff")
	if _, ok := serde.Bytes.(serde.Transcoder); ok {
		t.Error("Bytes has a JSON form; HTTP expects base64")
	}
	if got, err := serde.Bytes.Decode([]byte{}); err != nil || got == nil {
		t.Errorf("Decode of no bytes = %v, %v, want empty, not nil", got, err)
	}
}

func TestBytesAliasDoesNotReachBehind(t *testing.T) {
	buffer := []byte("valuenext")
	got, err := serde.Bytes.(serde.Aliaser[[]byte]).DecodeAlias(buffer[:5])
	if err != nil || &got[0] != &buffer[0] {
		t.Fatalf("DecodeAlias = %q, %v, want the source itself", got, err)
	}
	if _ = append(got, '!'); string(buffer) != "valuenext" {
		t.Errorf("appending to the result changed the buffer to %q", buffer)
	}
}
