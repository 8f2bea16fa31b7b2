package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"unicode"
)

// fields is a JSON object of the application. Values keep their JSON text, so
// that large numbers are shown as they came.
type fields map[string]json.RawMessage

// text shows a field in a table: strings plainly, everything else as JSON. A
// field that has no JSON form comes as base64 under another name.
func (f fields) text(name string) string {
	raw, ok := f[name]
	if !ok {
		if raw, ok = f[name+"_base64"]; !ok {
			return ""
		}
		return "base64:" + fields{name: raw}.text(name)
	}
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	return printable(s)
}

// printable quotes what would move the cursor or colour the terminal: keys and
// values are somebody else's.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// rowWriter prints rows as a table, or each as a line of JSON.
type rowWriter struct {
	format string
	w      io.Writer
	grid   grid
	names  []string
}

func newRowWriter(format string, w io.Writer, names ...string) *rowWriter {
	r := &rowWriter{format: format, w: w, names: names}
	for _, name := range names {
		r.grid.header = append(r.grid.header, name)
	}
	return r
}

// add takes one row; with JSON it is printed at once.
func (r *rowWriter) add(raw json.RawMessage, extra ...any) error {
	if r.format == formatJSON {
		var line bytes.Buffer
		if err := json.Compact(&line, raw); err != nil {
			return fmt.Errorf("a row of the answer: %w", err)
		}
		line.WriteByte('\n')
		_, err := r.w.Write(line.Bytes())
		return err
	}
	var f fields
	if err := json.Unmarshal(raw, &f); err != nil {
		return fmt.Errorf("a row of the answer: %w", err)
	}
	row := extra
	for _, name := range r.names[len(extra):] {
		row = append(row, f.text(name))
	}
	r.grid.add(row...)
	return nil
}

func (r *rowWriter) finish() error {
	if r.format == formatJSON {
		return nil
	}
	return r.grid.write(r.w)
}

// setText puts a flag that was given into a query string.
func setText(params url.Values, name, value string) {
	if value != "" {
		params.Set(name, value)
	}
}
