package kafka

import (
	"context"
	"slices"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

const (
	// longPollMillis is how long a broker holds a fetch of partitions without data.
	longPollMillis = 500
	// secondAfter is how long a request must have lasted before another lane takes
	// off: by then it is a long poll. Side by side, lanes would share out the
	// broker's answers between themselves instead of between the partitions.
	secondAfter = 2 * time.Millisecond
	// callBackAfter is how long a long poll must have lasted to be called back.
	callBackAfter = 20 * time.Millisecond
	// lanesPerBroker, see Reader.
	lanesPerBroker = 2
)

// lanes are those to one broker. Guarded by Reader.mu.
type lanes struct {
	waiting int // for something to fetch
	flights map[*flight]struct{}
}

// flight is one request under way.
type flight struct {
	node    wire.Node
	claims  []fetchClaim
	limit   int32 // bytes in all
	started time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	called  bool // back
}

// lane fetches from one broker, one request after the other.
func (r *Reader) lane(node wire.Node) {
	for {
		f := r.takeOff(node)
		if f == nil {
			return
		}
		answers, err := r.ask(f)
		f.cancel()
		switch called := r.land(f); {
		case err == nil:
			r.file(f.claims, answers)
		case called:
			for _, c := range f.claims {
				r.passOver(c)
			}
		default:
			r.release(f.claims, err)
		}
	}
}

func (r *Reader) ask(f *flight) (fetchAnswers, error) {
	spots := make([]fetchSpot, len(f.claims))
	wait := int32(longPollMillis)
	for i, c := range f.claims {
		spots[i] = c.fetchSpot
		if !c.known {
			wait = 0 // first of all, hear where the end is
		}
	}
	answers, err := r.log.fetch(f.ctx, f.node, wait, f.limit, spots)
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// takeOff waits until partitions led by node can be fetched, and claims them. It
// returns nil when the reader is closed.
func (r *Reader) takeOff(node wire.Node) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	group := r.mu.lanes[node]
	for !r.mu.closed {
		if !r.mayTakeOffLocked(node, group) {
			r.awaitWorkLocked(group)
			continue
		}
		if claims := r.claimLocked(node); len(claims) > 0 {
			f := &flight{node: node, claims: claims, limit: int32(min(max(r.opts.MaxBytes/2, 1), 1<<30)), started: r.log.cfg.Now()}
			f.ctx, f.cancel = context.WithCancel(r.ctx)
			group.flights[f] = struct{}{}
			return f
		}
		r.awaitWorkLocked(group)
	}
	return nil
}

func (r *Reader) awaitWorkLocked(group *lanes) {
	group.waiting++
	r.mu.work.Wait()
	group.waiting--
}

// mayTakeOffLocked reports whether there is something to fetch and all requests
// under way have lasted for long enough; if it is only that, it will be asked
// again.
func (r *Reader) mayTakeOffLocked(node wire.Node, group *lanes) bool {
	if !slices.ContainsFunc(r.mu.assigned, func(a *assignment) bool { return r.isReadyLocked(a, node) }) {
		return false
	}
	for f := range group.flights {
		if age := r.log.cfg.Now().Sub(f.started); age < secondAfter {
			r.lookAgainLocked(secondAfter - age)
			return false
		}
	}
	return true
}

// land takes a request off the list, and reports whether it was called back.
func (r *Reader) land(f *flight) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.lanes[f.node].flights, f)
	return f.called
}

// readyLocked is called when partitions may have become ready to be fetched. It
// wakes the lanes; if all lanes of a broker are held by long polls, one of these
// is called back, or a partition that was resumed would wait for longPollMillis.
// Its connection is lost to us until the broker answers, so the poll must have
// lasted a while: an answer that is about to come is worth more.
func (r *Reader) readyLocked() {
	r.mu.work.Broadcast()
	for node, group := range r.mu.lanes {
		if group.waiting > 0 || r.mu.closed || !slices.ContainsFunc(r.mu.assigned, func(a *assignment) bool { return r.isReadyLocked(a, node) }) {
			continue
		}
		var oldest *flight
		for f := range group.flights {
			if !f.called && (oldest == nil || f.started.Before(oldest.started)) {
				oldest = f
			}
		}
		if oldest == nil {
			continue
		}
		if age := r.log.cfg.Now().Sub(oldest.started); age < callBackAfter {
			r.lookAgainLocked(callBackAfter - age)
			continue
		}
		oldest.called = true
		oldest.cancel()
	}
}

// lookAgainLocked runs readyLocked after a time, once for all that want it.
func (r *Reader) lookAgainLocked(d time.Duration) {
	if r.mu.looking {
		return
	}
	r.mu.looking = true
	r.tasks.Go(func() {
		r.sleep(d)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.mu.looking = false
		r.readyLocked()
	})
}

// isReadyLocked reports whether a partition led by node wants to be fetched.
func (r *Reader) isReadyLocked(a *assignment, node wire.Node) bool {
	full := r.mu.buffered >= r.opts.MaxBytes && a.queued > 0
	return a.routed && a.node == node && !a.inFlight && !a.paused && a.err == nil && !a.since.IsZero() &&
		!full && a.queued <= r.opts.MaxPartitionBytes/2
}
