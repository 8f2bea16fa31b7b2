// Package statetest is the conformance kit of state engines: what every engine
// must do (Run), and what one that outlives the process must keep (RunDurable).
//
// Checks are functions that return an error, so that the kit is tested too: it
// must report engines that were broken on purpose.
package statetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tidemill/tidemill/state"
)

// check is one rule of the contract.
type check struct {
	name string
	why  string // what goes wrong in the system without it
	run  func(e state.Engine) error
}

func checks() []check {
	var all []check
	all = append(all, rowChecks()...)
	all = append(all, walkChecks()...)
	all = append(all, viewChecks()...)
	return append(all, modelCheck())
}

// Run checks the engines that open returns, a new and empty one for each rule.
// open registers what it has to clean up with t; Run closes the engine.
func Run(t *testing.T, open func(t *testing.T) state.Engine) {
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			if err := runCheck(c, open(t)); err != nil {
				t.Errorf("%v\nwhy it matters: %s", err, c.why)
			}
		})
	}
}

// runCheck runs one rule and closes the engine.
func runCheck(c check, e state.Engine) error {
	err := c.run(e)
	if closeErr := e.Close(); !errors.Is(closeErr, state.ErrEngineClosed) && closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close: %w", closeErr))
	}
	return err
}

// apply fills one batch and applies it.
func apply(e state.Engine, fill func(b state.Batch) error) error {
	b := e.NewBatch()
	if err := fill(b); err != nil {
		return errors.Join(fmt.Errorf("fill batch: %w", err), b.Close())
	}
	if err := e.Apply(b); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	return nil
}

// set applies rows given as key, value, key, value, ...
func set(e state.Engine, pairs ...string) error {
	return apply(e, func(b state.Batch) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := b.Set([]byte(pairs[i]), []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
}

// wantRow checks that key has the value.
func wantRow(r state.Reader, key, want string) error {
	got, ok, err := r.Get(nil, []byte(key))
	switch {
	case err != nil:
		return fmt.Errorf("get %q: %w", key, err)
	case !ok:
		return fmt.Errorf("get %q: no row, want %.40q", key, want)
	case string(got) != want:
		return fmt.Errorf("get %q = %.40q, want %.40q", key, got, want)
	}
	return nil
}

// wantNone checks that there is no row, and that dst comes back as it was.
func wantNone(r state.Reader, key string) error {
	got, ok, err := r.Get([]byte("dst"), []byte(key))
	switch {
	case err != nil:
		return fmt.Errorf("get %q: %w", key, err)
	case ok:
		return fmt.Errorf("get %q = %.40q, want no row", key, got)
	case string(got) != "dst":
		return fmt.Errorf("get of the absent %q changed dst to %q", key, got)
	}
	return nil
}

// wantWalk checks the rows between bounds, given as key, value, ... in order.
func wantWalk(r state.Reader, lower, upper []byte, reverse bool, want ...string) error {
	it, err := r.Iter(lower, upper, reverse)
	if err != nil {
		return fmt.Errorf("iterate: %w", err)
	}
	err = wantRest(it, want...)
	if err = errors.Join(err, it.Close()); err != nil {
		return fmt.Errorf("walk from %q to %q, reverse %v: %w", lower, upper, reverse, err)
	}
	return nil
}

// wantRest checks what it has still to give.
func wantRest(it state.Iterator, want ...string) error {
	n := 0
	for ; it.Next(); n += 2 {
		if n >= len(want) {
			return fmt.Errorf("extra row %q after %d rows", it.Key(), n/2)
		}
		if string(it.Key()) != want[n] || string(it.Value()) != want[n+1] {
			return fmt.Errorf("row %d is %q = %.40q, want %q = %.40q", n/2, it.Key(), it.Value(), want[n], want[n+1])
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	if n < len(want) {
		return fmt.Errorf("ended after %d rows, want %q next", n/2, want[n])
	}
	if it.Next() {
		return errors.New("a row after the end")
	}
	return nil
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
