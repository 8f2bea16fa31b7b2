package serde

import (
	"github.com/tidemill/tidemill/processor"
)

// windowBounds are the times of a windowed key in JSON.
type windowBounds struct {
	start, end processor.Timestamp
	hasEnd     bool
}

// appendWindowJSON appends {"key":...,"start":"...","end":"..."}.
func appendWindowJSON[K any](dst []byte, name string, k component[K], key []byte, start, end processor.Timestamp) ([]byte, error) {
	out := k.appendField(append(dst, '{'), "key", key)
	out, err := appendJSONTime(append(out, `,"start":`...), name, start.Time())
	if err != nil {
		return dst, err
	}
	if out, err = appendJSONTime(append(out, `,"end":`...), name, end.Time()); err != nil {
		return dst, err
	}
	return append(out, '}'), nil
}

// windowFromJSON appends the encoded key and returns the window. On an error
// the caller returns its own dst.
func windowFromJSON[K any](dst []byte, name string, k component[K], text []byte) ([]byte, windowBounds, error) {
	var w windowBounds
	fields, err := parseFields(name, text, "key", "key"+base64Suffix, "start", "end")
	if err != nil {
		return dst, w, err
	}
	start, ok := fields["start"]
	if !ok {
		return dst, w, errorf(name, "JSON text: the field %q is missing", "start")
	}
	if w.start, err = parseTimestamp(name, start); err != nil {
		return dst, w, err
	}
	if end, ok := fields["end"]; ok {
		w.hasEnd = true
		if w.end, err = parseTimestamp(name, end); err != nil {
			return dst, w, err
		}
	}
	out, err := k.fromField(dst, name, "key", fields)
	return out, w, err
}

func parseTimestamp(name string, text []byte) (processor.Timestamp, error) {
	t, err := parseJSONTime(name, text)
	return processor.TimestampOf(t), err
}
