package pebbledb

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A failing flush is retried hundreds of times a second, each with a message.
const (
	logLines  = 2
	logPeriod = 10 * time.Second
)

// limiter lets logLines messages of a kind through in each logPeriod.
type limiter struct {
	mu struct {
		sync.Mutex
		start      time.Time
		lines      int
		suppressed int
	}
}

// allow reports whether to log, and how many messages were left out before.
func (l *limiter) allow(now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.mu.start) >= logPeriod {
		suppressed, l.mu.suppressed = l.mu.suppressed, 0
		l.mu.start, l.mu.lines = now, 0
	}
	if l.mu.lines == logLines {
		l.mu.suppressed++
		return 0, false
	}
	l.mu.lines++
	return suppressed, true
}

// logger is Pebble's Logger.
type logger struct {
	db            *DB
	infos, errors limiter
}

// Infof logs at debug level: these are Pebble's own affairs.
func (l *logger) Infof(format string, args ...any) {
	if l.db.opts.Logger.Enabled(context.Background(), slog.LevelDebug) {
		l.db.log(&l.infos, slog.LevelDebug, "pebble", "text", fmt.Sprintf(format, args...))
	}
}

func (l *logger) Errorf(format string, args ...any) {
	l.db.log(&l.errors, slog.LevelError, "pebble", "text", fmt.Sprintf(format, args...))
}

// Fatalf marks the store dead and does not return.
func (l *logger) Fatalf(format string, args ...any) {
	l.db.markDead(fmt.Errorf(format, args...))
	l.db.endFatal()
}

// log writes one message, unless its kind was logged too often.
func (d *DB) log(limit *limiter, level slog.Level, text string, args ...any) {
	suppressed, ok := limit.allow(d.opts.Now())
	if !ok {
		return
	}
	args = append([]any{"dir", d.opts.Dir}, args...)
	if suppressed > 0 {
		args = append(args, "left_out_before", suppressed)
	}
	d.opts.Logger.Log(context.Background(), level, text, args...)
}
