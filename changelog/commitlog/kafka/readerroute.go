package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/wire"
)

const (
	// unknownFor is how long the metadata must lack a topic that was there when it
	// was assigned. A broker that has just started may not have heard of it yet.
	unknownFor = 5 * time.Second

	firstRetry   = 5 * time.Millisecond
	longestRetry = time.Second
	// pausedEvery is how often the stable ends of paused partitions are asked for.
	pausedEvery = 200 * time.Millisecond
)

// retriable reports whether an error of one partition may pass.
func retriable(err error) bool {
	var io *wire.IOError
	code, ok := codeOf(err)
	return errors.As(err, &io) || ok && code.Retriable()
}

// loseLocked takes a partition from its broker after a failure; route looks for
// its leader again, unless it has gone on for too long.
func (r *Reader) loseLocked(a *assignment, err error) {
	a.inFlight = false
	if a.gone {
		return
	}
	now := r.log.cfg.Now()
	if a.failures == 0 {
		a.failedSince = now
	}
	a.failures++
	a.routed = false
	raise(r.lost)
	if now.Sub(a.failedSince) < r.log.cfg.GiveUp && retriable(err) {
		return
	}
	a.err = named(err, "READ on topic "+a.Topic)
	var io *wire.IOError
	if errors.As(err, &io) {
		a.err = fmt.Errorf("%w: gave up after %v: %w", commitlog.ErrUnreachable, r.log.cfg.GiveUp, err)
	}
	raise(r.news)
}

// route finds leaders for partitions that have none, until the reader is closed.
func (r *Reader) route() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.lost:
		}
		for {
			lost, failures := r.lostPartitions()
			if len(lost) == 0 {
				break
			}
			if failures > 0 && !r.sleep(min(firstRetry<<min(failures-1, 10), longestRetry)) {
				return
			}
			r.findLeaders(lost, failures > 0)
			if r.ctx.Err() != nil {
				return
			}
		}
	}
}

// sleep returns false if the reader is closed meanwhile.
func (r *Reader) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// lostPartitions lists the partitions to route, and the fewest failures among
// them: a new partition does not wait for the pause of one that fails.
func (r *Reader) lostPartitions() (lost []*assignment, failures int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.mu.assigned {
		if a.routed || a.err != nil || a.since.IsZero() {
			continue
		}
		if len(lost) == 0 || a.failures < failures {
			failures = a.failures
		}
		lost = append(lost, a)
	}
	return lost, failures
}

// findLeaders looks lost partitions up, in fresh metadata if they failed before.
func (r *Reader) findLeaders(lost []*assignment, refresh bool) {
	if refresh {
		tps := make([]commitlog.TopicPartition, len(lost))
		for i, a := range lost {
			tps[i] = a.TopicPartition
		}
		if err := r.log.client.Refresh(r.ctx, topicsOf(tps)...); err != nil {
			r.fail(lost, fmt.Errorf("find the leader of %s: %w", describe(tps), err))
			return
		}
	}
	infos, errs := make([]wire.TopicInfo, len(lost)), make([]error, len(lost))
	for i, a := range lost {
		infos[i], errs[i] = r.log.client.TopicInfo(r.ctx, a.Topic)
	}
	if r.ctx.Err() != nil {
		return
	}
	// All at once, so that the lanes find them together and ask for them together.
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, a := range lost {
		r.routeLocked(a, infos[i], errs[i])
	}
	r.readyLocked()
}

// fail ends partitions with an error, which Poll returns.
func (r *Reader) fail(lost []*assignment, err error) {
	if r.ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range lost {
		a.err = named(err, "DESCRIBE on topic "+a.Topic)
	}
	raise(r.news)
}

func (r *Reader) routeLocked(a *assignment, info wire.TopicInfo, err error) {
	if errors.Is(err, commitlog.ErrUnknownTopic) && (a.failures == 0 || r.log.cfg.Now().Sub(a.failedSince) < unknownFor) {
		r.loseLocked(a, wire.UnknownTopicOrPartition)
		return
	}
	if err == nil && a.Partition >= info.Partitions {
		err = fmt.Errorf("%w: the topic has %d partitions", commitlog.ErrUnknownTopic, info.Partitions)
	}
	if err == nil && a.confirmed && info.ID != a.topicID {
		err = fmt.Errorf("%w: topic %s was deleted and created anew while it was read; its positions mean nothing any more", commitlog.ErrUnknownTopic, a.Topic)
	}
	if err != nil {
		a.err = fmt.Errorf("read %s: %w", a.TopicPartition, err)
		raise(r.news)
		return
	}
	node, ok := r.log.client.NodeByID(info.Leaders[a.Partition])
	if !ok {
		r.loseLocked(a, wire.LeaderNotAvailable)
		return
	}
	a.topicID, a.node, a.routed = info.ID, node, true
	if r.mu.lanes[node] == nil && !r.mu.closed {
		r.mu.lanes[node] = &lanes{flights: map[*flight]struct{}{}}
		for range lanesPerBroker {
			r.tasks.Go(func() { r.lane(node) })
		}
	}
}

// followPaused keeps the stable ends of paused partitions up to date. It asks
// with ListOffsets: a fetch, however small its limit, brings a whole batch.
func (r *Reader) followPaused() {
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.paused:
		}
		for {
			tps := r.pausedPartitions()
			if len(tps) == 0 {
				break
			}
			found, err := r.log.offsets(r.ctx, tps, stableEnd)
			if r.ctx.Err() != nil {
				return
			}
			r.noteEnds(found, err)
			if !r.sleep(pausedEvery) {
				return
			}
		}
	}
}

func (r *Reader) pausedPartitions() []commitlog.TopicPartition {
	r.mu.Lock()
	defer r.mu.Unlock()
	var tps []commitlog.TopicPartition
	for _, a := range r.mu.assigned {
		if a.paused && !a.since.IsZero() {
			tps = append(tps, a.TopicPartition)
		}
	}
	return tps
}

func (r *Reader) noteEnds(found map[commitlog.TopicPartition][]int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.mu.failure = fmt.Errorf("stable ends of paused partitions: %w", err)
	}
	for _, a := range r.mu.assigned {
		if at, ok := found[a.TopicPartition]; ok {
			a.end = max(a.end, at[0])
		}
	}
	raise(r.news)
}
