package kafka

import (
	"errors"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// assignment is one partition that a Reader reads, from one Assign to the next.
// Guarded by Reader.mu.
type assignment struct {
	commitlog.TopicPartition
	topicID   [16]byte
	confirmed bool // a broker has served this topic id

	next    int64 // position of the application: what Poll reported last
	fetched int64 // position of the lanes, at or ahead of next
	queue   []recordbatch.Batch
	queued  int   // bytes in queue
	end     int64 // stable end, -1 while it is unknown
	err     error // why nothing comes behind queue

	since    time.Time // of the first Poll; zero before it, when nothing is fetched
	reported bool      // a Poll has had an entry of it
	paused   bool
	gone     bool // replaced or unassigned
	inFlight bool // a lane is asking for it
	served   int  // the number of the last answer that moved it on

	node        wire.Node
	routed      bool // node is the leader, as far as known
	failures    int  // since the last answer
	failedSince time.Time
	stalls      int // replies with bytes and no whole batch
}

// publish hands partitions that were assigned since the last Poll to the lanes.
func (r *Reader) publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.mu.assigned {
		if a.since.IsZero() {
			a.since = r.log.cfg.Now()
			raise(r.lost)
			raise(r.paused)
		}
	}
	r.readyLocked()
}

// polled is what a Poll decides by besides its answer.
type polled struct {
	urgent     bool      // return at once
	graceUntil time.Time // until when a first answer is waited for; zero if all are known
}

// collect takes what is there. Each partition in turn is first to be taken from,
// so that a small MaxBytes starves none.
func (r *Reader) collect() (fetched []commitlog.Fetched, state polled, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.closed {
		return nil, state, commitlog.ErrClosed
	}
	if err := r.failureLocked(); err != nil {
		return nil, state, err
	}
	n := len(r.mu.assigned)
	taken := make([][]recordbatch.Batch, n)
	budget, found := r.opts.MaxBytes, false
	for i := range n {
		at := (r.mu.turn + i) % n
		size := 0
		if a := r.mu.assigned[at]; !a.paused {
			taken[at], size = a.take(min(budget, r.opts.MaxPartitionBytes), !found)
		}
		budget -= size
		r.mu.buffered -= size
		found = found || size > 0
	}
	if found {
		r.mu.turn++
		r.readyLocked()
	}
	fetched = make([]commitlog.Fetched, 0, n)
	state.urgent = found
	for i, a := range r.mu.assigned {
		moved := a.advance(taken[i])
		if a.end < 0 {
			if until := a.since.Add(firstAnswerWait); until.After(state.graceUntil) {
				state.graceUntil = until
			}
			continue
		}
		state.urgent = state.urgent || moved || !a.reported
		fetched = append(fetched, commitlog.Fetched{TopicPartition: a.TopicPartition, Batches: taken[i], Next: a.next,
			// A position ahead of the known end lies behind committed records, whose
			// markers the leader had not seen yet.
			StableEnd: max(a.end, a.next)})
	}
	if state.urgent = state.urgent && (found || state.graceUntil.IsZero()); state.urgent {
		for _, a := range r.mu.assigned {
			a.reported = a.reported || a.end >= 0
		}
	}
	return fetched, state, nil
}

// failureLocked returns what makes a Poll fail. Errors wait until the batches
// before them have been taken.
func (r *Reader) failureLocked() error {
	if err := r.mu.failure; err != nil {
		r.mu.failure = nil
		return err
	}
	for _, a := range r.mu.assigned {
		if a.err == nil || a.paused || len(a.queue) > 0 {
			continue
		}
		err := a.err
		if errors.Is(err, commitlog.ErrUnreachable) {
			a.err, a.failures, a.failedSince = nil, 0, time.Time{}
			raise(r.lost)
		}
		return err
	}
	return nil
}

// take removes batches from the queue, up to limit bytes. The first is taken
// whatever its size if whole says so.
func (a *assignment) take(limit int, whole bool) (batches []recordbatch.Batch, size int) {
	n := 0
	for ; n < len(a.queue); n++ {
		if b := len(a.queue[n].Raw); size+b > limit && !(whole && n == 0) {
			break
		}
		size += len(a.queue[n].Raw)
	}
	batches = a.queue[:n:n]
	a.queue, a.queued = a.queue[n:], a.queued-size
	if len(a.queue) == 0 {
		a.queue = nil
	}
	return batches, size
}

// advance moves the application's position behind what was taken, and if nothing
// is left over offsets that are no records.
func (a *assignment) advance(taken []recordbatch.Batch) (moved bool) {
	before := a.next
	switch {
	case a.paused:
	case len(a.queue) == 0:
		a.next = a.fetched
	case len(taken) > 0:
		a.next = taken[len(taken)-1].NextOffset()
	}
	return a.next != before
}
