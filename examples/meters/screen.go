package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"golang.org/x/term"
)

// screen is what the user sees: results on out, everything about the way there
// on err.
type screen struct {
	out, err io.Writer
	bar      bool // err is a terminal
	drawn    time.Time
}

func newScreen(out, err io.Writer) *screen {
	f, ok := err.(*os.File)
	return &screen{out: out, err: err, bar: ok && term.IsTerminal(int(f.Fd()))}
}

// eraseLine removes the progress bar before something else is written.
const eraseLine = "\r\x1b[K"

// say writes a line to out.
func (s *screen) say(format string, args ...any) {
	s.erase()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// warn writes a line to err.
func (s *screen) warn(format string, args ...any) {
	s.erase()
	fmt.Fprintf(s.err, format+"\n", args...)
}

func (s *screen) erase() {
	if s.bar && !s.drawn.IsZero() {
		fmt.Fprint(s.err, eraseLine)
		s.drawn = time.Time{}
	}
}

// shownMalformed bounds the malformed lines that are named, so that a file of
// another kind does not flood the terminal.
const shownMalformed = 20

// malformed names a malformed line; n says how many there were with it.
func (s *screen) malformed(n int64, name string, line int64, problem error) {
	if n <= shownMalformed {
		s.warn("%s, line %d is left out: %v", name, line, problem)
	}
	if n == shownMalformed {
		s.warn("further malformed lines are left out and counted")
	}
}

// progress redraws the bar, on a terminal and at most ten times a second.
func (s *screen) progress(im *importer) {
	if !s.bar || time.Since(s.drawn) < 100*time.Millisecond {
		return
	}
	s.drawn = time.Now()
	text := fmt.Sprintf("%d readings sent", im.sent)
	if im.src.size > 0 {
		const width = 30
		part := min(1, float64(im.src.taken.Load())/float64(im.src.size))
		done := int(part * width)
		text = fmt.Sprintf("[%-*s] %3.0f %%  %s", width, bars[:done], part*100, text)
	}
	fmt.Fprint(s.err, eraseLine+text)
}

const bars = "=============================="

// queryURL asks a window store for the windows of a key that start in [from, to).
func queryURL(address, store, key string, from, to time.Time) string {
	at := func(t time.Time) string { return url.QueryEscape(t.UTC().Format(time.RFC3339)) }
	return fmt.Sprintf("http://%s/v1/stores/%s/windows?key=%s&from=%s&to=%s", address, store, url.QueryEscape(key), at(from), at(to))
}
