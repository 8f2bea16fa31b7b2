package pebbledb

import (
	"math"
	"sync/atomic"
)

// gate lets calls in until it is closed, and says when the last one has left.
// Pebble panics when it is called after Close, and memory that a read is still
// looking at is freed by Close.
//
// It is one atomic counter: a read pays two atomic additions. An RWMutex does
// the same two and more, and stops readers while a writer waits.
type gate struct {
	calls   atomic.Int64  // calls inside, plus shut once closed
	drained chan struct{} // holds one token when shut and empty
}

// shut makes every sum with a number of calls negative.
const shut = math.MinInt64

func newGate() *gate { return &gate{drained: make(chan struct{}, 1)} }

// enter reports whether the call may go on; it must leave then.
func (g *gate) enter() bool {
	if g.calls.Add(1) > 0 {
		return true
	}
	g.leave()
	return false
}

func (g *gate) leave() {
	if g.calls.Add(-1) == shut {
		select {
		case g.drained <- struct{}{}:
		default: // a refused call found it empty again
		}
	}
}

// closed reports whether the gate was shut.
func (g *gate) closed() bool { return g.calls.Load() < 0 }

// shutOnce closes the gate. It reports false if it was closed before. Then wait
// on drained.
func (g *gate) shutOnce() bool {
	for {
		n := g.calls.Load()
		if n < 0 {
			return false
		}
		if g.calls.CompareAndSwap(n, n+shut) {
			if n == 0 {
				select {
				case g.drained <- struct{}{}:
				default:
				}
			}
			return true
		}
	}
}
