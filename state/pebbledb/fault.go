package pebbledb

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tidemill/tidemill/state"
)

// health says whether the store is dead, and why.
type health struct {
	fault atomic.Pointer[error] // wraps state.ErrStoreDead; set once
	dead  chan struct{}         // closed after fault is set
}

// fatalCall is what Fatalf panics with inside one of our calls.
type fatalCall struct{ db *DB }

// markDead refuses the store from now on; the first cause counts.
func (d *DB) markDead(cause error) {
	err := fmt.Errorf("state store %s: %w: %w; rebuild it from the changelog in a new directory",
		d.opts.Dir, state.ErrStoreDead, cause)
	if !d.health.fault.CompareAndSwap(nil, &err) {
		return
	}
	close(d.health.dead)
	// The caller may hold Pebble's locks, and a log or a callback may wait.
	go func() {
		d.opts.Logger.Error("state store died", "dir", d.opts.Dir, "err", err.Error())
		if d.opts.OnFault != nil {
			d.opts.OnFault(err)
		}
	}()
}

// faultErr is why the store is dead, or nil.
func (d *DB) faultErr() error {
	if err := d.health.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// endFatal ends the goroutine that called Fatalf, which must never return: a
// Fatalf that returns lets Pebble acknowledge what it has lost.
//
// Whose goroutine it is decides how. On Pebble's own (flush, compaction) a panic
// would kill the process, and Goexit runs the deferred unlocks and ends it. On a
// caller's, Goexit would silently end the caller, which no deferred function can
// stop; a panic unwinds to endCall, which every call into Pebble defers, and
// comes out as an error.
//
// Go has no goroutine-local mark, and profiler labels are inherited by the
// goroutines that Pebble starts inside our call. The stack is such a mark: a
// goroutine that is in one of our calls has a frame of this package below
// Pebble's, and one that Pebble started has none, as stacks are not inherited.
// Walking it costs microseconds, once in the life of a store.
func (d *DB) endFatal() {
	if callerIsOurs() {
		panic(fatalCall{d})
	}
	runtime.Goexit()
}

var (
	ourFrames    = reflect.TypeFor[DB]().PkgPath() + "."
	pebbleFrames = reflect.TypeFor[pebble.DB]().PkgPath()
)

// callerIsOurs reports whether a frame of this package called Pebble on this
// goroutine. Our frames above Pebble's are its callbacks and do not count.
func callerIsOurs() bool {
	pcs := make([]uintptr, 64)
	n := runtime.Callers(1, pcs)
	for n == len(pcs) {
		pcs = make([]uintptr, 2*len(pcs))
		n = runtime.Callers(1, pcs)
	}
	inPebble := false
	for frames := runtime.CallersFrames(pcs[:n]); ; {
		frame, more := frames.Next()
		switch {
		case strings.HasPrefix(frame.Function, pebbleFrames):
			inPebble = true
		case inPebble && strings.HasPrefix(frame.Function, ourFrames):
			return true
		}
		if !more {
			return false
		}
	}
}

// endCall is deferred by every call into Pebble: it turns a Fatalf below into
// ErrStoreDead. Other panics go on: they are bugs, not faults of a disk.
func (d *DB) endCall(err *error) {
	switch r := recover().(type) {
	case nil:
	case fatalCall:
		*err = r.db.faultErr()
	default:
		panic(r)
	}
}

// checked marks the store dead if err is corruption, and names the store.
func (d *DB) checked(call string, err error) error {
	if err == nil {
		return nil
	}
	if pebble.IsCorruptionError(err) {
		d.markDead(err)
	}
	if fault := d.faultErr(); fault != nil {
		return fault
	}
	return fmt.Errorf("state store %s: %s: %w", d.opts.Dir, call, err)
}

// detached runs a call that may wait on another goroutine of Pebble's: a flush
// that has died never wakes it, a full disk only once there is space. The caller
// gets ErrStoreDead instead of hanging; the waiting goroutine is left behind, as
// nothing can end it. Costs about two microseconds, for calls per commit only.
func (d *DB) detached(call string, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		err := fmt.Errorf("state store %s: %s: goroutine ended", d.opts.Dir, call)
		defer func() { done <- err }()
		defer d.endCall(&err)
		err = fn()
	}()
	timeout := time.NewTimer(d.opts.StallTimeout)
	defer timeout.Stop()
	select {
	case err := <-done:
		return d.checked(call, err)
	case <-d.health.dead:
	case <-timeout.C:
		d.markDead(fmt.Errorf("%s did not finish within %v (disk full or stuck?)", call, d.opts.StallTimeout))
	}
	return d.faultErr()
}
