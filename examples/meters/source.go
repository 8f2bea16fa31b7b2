package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// sample is a week of real readings; data/README.md says where they are from.
//
//go:embed data/readings.csv.gz
var sample []byte

// source is where readings come from.
type source struct {
	*csvReader
	name  string
	live  bool         // standard input: what was read cannot be read again
	size  int64        // in bytes as stored, 0 if not known
	taken atomic.Int64 // bytes read so far
	close func() error
}

// openSource opens a file, standard input for "-", or the sample for "".
// Compression is told from the content and not from the name.
func openSource(ctx context.Context, name string, stdin io.Reader) (*source, error) {
	s := &source{name: name, close: func() error { return nil }}
	var in io.Reader
	switch name {
	case "":
		s.name, s.size, in = "the bundled sample", int64(len(sample)), bytes.NewReader(sample)
	case "-":
		s.name, s.live, in = "standard input", true, interruptible(ctx, stdin)
	default:
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			s.size = info.Size()
		}
		in, s.close = f, f.Close
	}
	buf := bufio.NewReader(&counter{in, &s.taken})
	magic, err := buf.Peek(2)
	if err != nil && err != io.EOF {
		return nil, errors.Join(fmt.Errorf("read %s: %w", s.name, err), s.close())
	}
	in = buf
	if bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if in, err = gzip.NewReader(buf); err != nil {
			return nil, errors.Join(fmt.Errorf("read %s: %w", s.name, err), s.close())
		}
	}
	s.csvReader = newCSVReader(in)
	return s, nil
}

// mayWait reports that the next line may be long in coming, so that what has
// been read should not wait for it.
func (s *source) mayWait() bool { return s.live && s.buf.Buffered() == 0 }

// interruptible makes a reader fail when ctx ends, even while it waits for input.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	return out
}

// counter counts what is read through it.
type counter struct {
	io.Reader
	n *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
