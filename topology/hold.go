package topology

import (
	"sync"

	"github.com/tidemill/tidemill/processor"
)

// holds are the records of a task that processors hold (see processor.Holder).
// They are released from any goroutine, hence the lock; nothing is held on the way
// of a record that nobody holds.
type holds struct {
	mu struct {
		sync.Mutex
		open   int
		failed *HoldError // the first
	}
}

// HoldError is the error with which a held record was released. The record
// remains held: what it has done is never committed.
type HoldError struct {
	Node   string
	Origin processor.Origin
	Err    error
}

func (e *HoldError) Error() string {
	return "node " + e.Node + ": the held record " + e.Origin.String() + " was released with an error: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *HoldError) Unwrap() error { return e.Err }

// Held says that a processor holds a record, so that nothing which the instance
// has done since the last commit may be committed. The error is that of a record
// for which it never may be. It may be called at any time, and turns false without
// a call of the instance: whoever runs it is told by Env.Released.
func (i *Instance) Held() (bool, *HoldError) {
	i.holds.mu.Lock()
	defer i.holds.mu.Unlock()
	return i.holds.mu.open > 0, i.holds.mu.failed
}

// Hold implements processor.Holder. It returns nil where whoever runs the instance
// does not put off commits.
func (c *taskContext) Hold() (release func(error)) {
	inst := c.inst
	if inst.env.Released == nil {
		return nil
	}
	h, failure := &inst.holds, &HoldError{Node: c.n.name, Origin: c.origin}
	h.mu.Lock()
	h.mu.open++
	h.mu.Unlock()
	var once sync.Once
	return func(err error) {
		once.Do(func() {
			h.mu.Lock()
			switch {
			case err == nil:
				h.mu.open--
			case h.mu.failed == nil:
				failure.Err = err
				h.mu.failed = failure
			}
			h.mu.Unlock()
			inst.env.Released()
		})
	}
}
