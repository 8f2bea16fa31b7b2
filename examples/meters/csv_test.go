package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

// readAll returns the rows of a text and the digest behind it.
func readAll(t testing.TB, text string) ([]row, string) {
	t.Helper()
	r := newCSVReader(strings.NewReader(text))
	var rows []row
	for {
		row, err := r.next()
		if err == io.EOF {
			if r.lines != int64(len(rows)) {
				t.Fatalf("%d lines, %d rows", r.lines, len(rows))
			}
			return rows, r.digest()
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
}

func TestReadsReadings(t *testing.T) {
	at := time.Date(2018, 10, 29, 0, 0, 0, 0, time.UTC)
	for _, line := range []string{
		"m1,2018-10-29T00:00:00Z,0.5", "m1,2018-10-29T01:00:00+01:00,0.5", "m1,2018-10-29T00:00:00,.5",
		`"m1","2018-10-29T00:00:00.000Z","0.5"`, "m1,2018-10-29T00:00:00Z,5e-1\r",
	} {
		for _, text := range []string{line, line + "\n", header + "\n" + line + "\n", "\ufeffMETER_ID,timestamp,kwh\r\n" + line} {
			rows, _ := readAll(t, text)
			got := rows[len(rows)-1]
			if got.bad != nil || got.meter != "m1" || got.reading.KWh != 0.5 || !got.reading.At.Equal(at) {
				t.Errorf("%q: %+v", text, got)
			}
			if len(rows) == 2 && !rows[0].blank {
				t.Errorf("%q: the header is taken for %+v", text, rows[0])
			}
		}
	}
}

func TestMalformedLines(t *testing.T) {
	for line, problem := range map[string]string{
		"m1,2018-10-29T00:00:00Z":                  "2 fields",
		"m1,2018-10-29T00:00:00Z,1,2":              "4 fields",
		",2018-10-29T00:00:00Z,1":                  "meter id",
		"\xff,2018-10-29T00:00:00Z,1":              "not UTF-8",
		"m1,yesterday,1":                           `"yesterday" is not a time`,
		"m1,1969-12-31T23:59:59Z,1":                "since 1970",
		"m1,2018-10-29T00:00:00Z,NaN":              "not a number",
		"m1,2018-10-29T00:00:00Z,1e999":            "not a number",
		"m1,2018-10-29T00:00:00Z,":                 "not a number",
		`"m1,2018-10-29T00:00:00Z,1`:               "quotes",
		strings.Repeat("x", maxLine+1):             "longer than",
		strings.Repeat("x", 3*maxLine):             "longer than",
		header:                                     "is not a time", // only the first line may be one
		"m1,2018-10-29T00:00:00Z,1 2018-10-29T00:": "not a number",
	} {
		good := "m1,2018-10-29T00:00:00Z,1"
		rows, _ := readAll(t, good+"\n"+line+"\n\n"+good)
		if len(rows) != 4 || rows[1].bad == nil || !strings.Contains(rows[1].bad.Error(), problem) {
			t.Errorf("%.40q: %d rows, the line is %+v, want %q", line, len(rows), rows[1], problem)
		}
		if rows[0].bad != nil || !rows[2].blank || rows[3].bad != nil {
			t.Errorf("%.40q changes the lines around it", line)
		}
	}
}

func TestDigest(t *testing.T) {
	digest := func(text string) string { _, d := readAll(t, text); return d }
	if digest("a\nb\n") != digest("a\r\nb") {
		t.Error("line ends are part of the digest")
	}
	long := strings.Repeat("x", maxLine)
	for _, pair := range [][2]string{{"a\nb", "b\na"}, {"a\nb", "ab"}, {"a\n\nb", "a\nb"}, {long + "a", long + "b"}} {
		if digest(pair[0]) == digest(pair[1]) {
			t.Errorf("%.20q and %.20q have one digest", pair[0], pair[1])
		}
	}
}

func FuzzCSVReader(f *testing.F) {
	f.Add("m1,2018-10-29T00:00:00Z,1\n\"m\",x,\r\n\r")
	f.Fuzz(func(t *testing.T, text string) {
		serdetest.Bounded(t, len(text), func() { readAll(t, text) })
		rows, digest := readAll(t, text)
		for i, r := range rows {
			if r.bad == nil && !r.blank && (r.meter == "" || r.reading.At.UnixMilli() < 0) {
				t.Errorf("line %d is taken as %+v", i+1, r)
			}
		}
		if again, d := readAll(t, strings.TrimSuffix(text, "\n")); d != digest && len(again) == len(rows) {
			t.Errorf("the digest depends on the last line end")
		}
	})
}

func compressed(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSourceKnowsGzip(t *testing.T) {
	text := "m1,2018-10-29T00:00:00Z,1\n"
	for name, content := range map[string][]byte{"plain.gz": []byte(text), "zipped.csv": compressed(t, text)} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, source := range []string{file, "-"} {
			s, err := openSource(t.Context(), source, bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			if r, err := s.next(); err != nil || r.meter != "m1" {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestDamagedGzipIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cut.gz")
	whole := compressed(t, strings.Repeat("m1,2018-10-29T00:00:00Z,1\n", 1000))
	if err := os.WriteFile(file, whole[:len(whole)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openSource(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for err == nil {
		_, err = s.next()
	}
	if err != io.ErrUnexpectedEOF {
		t.Errorf("a file that breaks off ends with %v", err)
	}
}

func TestInterruptEndsWaitingForInput(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	never, w := io.Pipe()
	defer w.Close()
	r := interruptible(ctx, never)
	interrupt()
	if _, err := r.Read(make([]byte, 1)); err != context.Canceled {
		t.Errorf("read ends with %v", err)
	}
}
