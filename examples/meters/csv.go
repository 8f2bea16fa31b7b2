package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidemill/tidemill/examples/meters/metering"
)

// maxLine bounds a line, in bytes: a longer one is malformed.
const maxLine = 64 << 10

// header is what the first line may say.
const header = "meter_id,timestamp,kwh"

// row is one line of a readings file: a reading, or what is wrong with the line.
type row struct {
	meter   string
	reading metering.Reading
	blank   bool // the header, or nothing at all
	bad     error
}

// csvReader reads readings line by line, and hashes what it has read so that a
// later run can tell whether it has the same lines before it.
type csvReader struct {
	buf   *bufio.Reader
	lines int64 // read so far, the header and malformed ones included
	hash  hash.Hash
}

func newCSVReader(r io.Reader) *csvReader {
	return &csvReader{buf: bufio.NewReaderSize(r, maxLine), hash: sha256.New()}
}

// digest identifies the lines read so far. Line ends are not part of it: a last
// line without one may get one later.
func (c *csvReader) digest() string { return "sha256:" + hex.EncodeToString(c.hash.Sum(nil)) }

// next returns the next row; io.EOF at the end. Malformed lines are rows too.
func (c *csvReader) next() (row, error) {
	line, tooLong, err := c.line()
	if err != nil {
		return row{}, err
	}
	c.lines++
	if tooLong {
		return row{bad: fmt.Errorf("the line is longer than %d bytes", maxLine)}, nil
	}
	return parse(line, c.lines == 1), nil
}

// line reads and hashes one line, without its end. Of one that is too long only
// the fact is kept.
func (c *csvReader) line() (line []byte, tooLong bool, err error) {
	for {
		part, err := c.buf.ReadSlice('\n')
		more := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !more && (err != io.EOF || len(part) == 0 && !tooLong) {
			return nil, false, err
		}
		line = bytes.TrimRight(part, "\r\n")
		if more {
			line = part
		}
		c.hash.Write(line)
		if !more {
			c.hash.Write([]byte{'\n'})
			return line, tooLong, nil
		}
		tooLong = true
	}
}

// parse turns a line into a row.
func parse(line []byte, first bool) row {
	text := string(line)
	if first {
		text = strings.TrimPrefix(text, "\ufeff") // a byte order mark
	}
	if text == "" || first && strings.EqualFold(text, header) {
		return row{blank: true}
	}
	fields := strings.Split(text, ",")
	if strings.Contains(text, `"`) {
		var err error
		if fields, err = csv.NewReader(strings.NewReader(text)).Read(); err != nil {
			return row{bad: errors.New("its quotes do not match")}
		}
	}
	if len(fields) != 3 {
		return row{bad: fmt.Errorf("it has %d fields instead of 3 (%s)", len(fields), header)}
	}
	if fields[0] == "" || !utf8.ValidString(fields[0]) {
		return row{bad: errors.New("the meter id is empty or not UTF-8")}
	}
	at, err := parseTime(fields[1])
	if err != nil {
		return row{bad: err}
	}
	kwh, err := strconv.ParseFloat(fields[2], 64)
	if err != nil || math.IsNaN(kwh) || math.IsInf(kwh, 0) {
		return row{bad: fmt.Errorf("%q is not a number of kWh", fields[2])}
	}
	return row{meter: fields[0], reading: metering.Reading{KWh: kwh, At: at}}
}

// parseTime reads RFC 3339; without an offset the time is UTC. A time before
// 1970 is refused here, because the engine would drop it.
func parseTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05", text)
	}
	if err != nil || at.UnixMilli() < 0 {
		return at, fmt.Errorf("%q is not a time since 1970 as in 2018-10-29T00:15:00+01:00", text)
	}
	return at, nil
}
