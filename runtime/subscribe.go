package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/topology"
)

// Subscription reads the committed records of a topic in a group of its own. It
// belongs to one goroutine.
type Subscription[K, V any] struct {
	app    *App
	topic  topology.Topic[K, V]
	group  string
	reader commitlog.Reader
	writer commitlog.Writer
	next   map[int32]int64 // the position behind the last record handed out
	ready  []commitlog.Fetched
	it     recordbatch.Iterator
	open   bool
}

// Subscribe reads a topic from the committed offsets of the group, or from the
// topic's Reset where there are none. With an empty group nothing is committed,
// and reading begins at the topic's Reset.
func Subscribe[K, V any](ctx context.Context, a *App, t topology.Topic[K, V], group string) (*Subscription[K, V], error) {
	s := &Subscription[K, V]{app: a, topic: t, group: group, next: map[int32]int64{}}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to %s: %w", t.Name, err), s.Close())
	}
	return s, nil
}

func (s *Subscription[K, V]) begin(ctx context.Context) (err error) {
	cfg, err := s.app.log.Topic(ctx, s.topic.Name)
	if err != nil {
		return err
	}
	offsets := map[commitlog.TopicPartition]commitlog.GroupOffset{}
	if s.group != "" {
		if s.group == s.app.App() {
			return fmt.Errorf("group %s belongs to the application itself; choose another name", s.group)
		}
		if s.writer, err = s.app.log.OpenWriter(ctx, s.app.App()+"-subscriber-"+s.group); err != nil {
			return err
		}
		if offsets, err = s.app.log.GroupOffsets(ctx, s.group); err != nil {
			return err
		}
	}
	if s.reader, err = s.app.log.NewReader(commitlog.ReaderOptions{}); err != nil {
		return err
	}
	for p := range cfg.Partitions {
		tp := topicPartition(s.topic.Name, p)
		at, ok := offsets[tp]
		if !ok {
			if at.Offset, err = s.first(ctx, tp); err != nil {
				return err
			}
		}
		s.next[p] = at.Offset
		if err := s.reader.Assign(tp, at.Offset); err != nil {
			return err
		}
	}
	return nil
}

func (s *Subscription[K, V]) first(ctx context.Context, tp commitlog.TopicPartition) (int64, error) {
	bounds, err := s.app.log.Bounds(ctx, tp)
	switch {
	case err != nil:
		return 0, err
	case s.topic.Reset == topology.Latest:
		return bounds.StableEnd, nil
	case s.topic.Reset == topology.None:
		return 0, fmt.Errorf("%s has no committed offset and the topic's Reset is None", tp)
	}
	return bounds.Start, nil
}

// Next returns the next record, waiting for one until ctx ends. Records of one
// partition come in order. An error that is about the record at hand, because it
// does not decode, is a *[DecodeError]; the record is passed over, and the next
// call goes on behind it.
func (s *Subscription[K, V]) Next(ctx context.Context) (r processor.Record[K, V], err error) {
	if _, err := s.find(ctx, func() bool { return false }); err != nil {
		return r, err
	}
	return s.decode(s.ready[0].Partition)
}

// find moves to the next record, or returns false when all that was fetched has
// been handed out and done says that this is enough.
func (s *Subscription[K, V]) find(ctx context.Context, done func() bool) (found bool, err error) {
	for {
		for len(s.ready) > 0 {
			f := &s.ready[0]
			if s.advance(f) {
				return true, nil
			}
			if err := s.it.Err(); s.open && err != nil {
				return false, fmt.Errorf("%s: %w", f.TopicPartition, err)
			}
			if len(f.Batches) > 0 {
				s.next[f.Partition] = max(s.next[f.Partition], f.Batches[0].NextOffset())
				f.Batches, s.open = f.Batches[1:], false
				continue
			}
			// What the reader passed over behind the last batch is no records.
			s.next[f.Partition] = max(s.next[f.Partition], f.Next)
			s.ready, s.open = s.ready[1:], false
		}
		if done() {
			return false, nil
		}
		if s.ready, err = s.reader.Poll(ctx); err != nil {
			return false, fmt.Errorf("read %s: %w", s.topic.Name, err)
		}
	}
}

// advance moves to the next record of the first batch.
func (s *Subscription[K, V]) advance(f *commitlog.Fetched) bool {
	if len(f.Batches) == 0 {
		return false
	}
	if !s.open {
		s.it, s.open = f.Batches[0].Records(), true
	}
	for s.it.Next() {
		if s.it.Offset >= s.next[f.Partition] {
			return true
		}
	}
	return false
}

// DecodeError is a record of a subscription that does not decode.
type DecodeError struct {
	Origin processor.Origin
	Err    error
}

func (e *DecodeError) Error() string { return fmt.Sprintf("record %s: %v", e.Origin, e.Err) }

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }

// decode decodes the record that find has found.
func (s *Subscription[K, V]) decode(partition int32) (r processor.Record[K, V], err error) {
	s.next[partition] = s.it.Offset + 1
	r.Origin = processor.Origin{Topic: s.topic.Name, Partition: partition, Offset: s.it.Offset}
	r.Time = processor.Timestamp(s.it.Time)
	if r.Key, err = s.topic.Key.Decode(s.it.Key); err == nil {
		r.Value, err = s.topic.Value.Decode(s.it.Value)
	}
	var headers []recordbatch.Header
	if err == nil {
		headers, err = s.it.Headers()
	}
	if err != nil {
		return r, &DecodeError{Origin: r.Origin, Err: err}
	}
	r.Headers = changelog.RecordHeaders(headers)
	return r, nil
}

// Commit makes the position behind the last record that Next returned durable
// for the group.
func (s *Subscription[K, V]) Commit(ctx context.Context) error {
	if s.writer == nil {
		return fmt.Errorf("subscription to %s has no group; give Subscribe one to commit", s.topic.Name)
	}
	offsets := map[commitlog.TopicPartition]commitlog.GroupOffset{}
	for p, next := range s.next {
		offsets[topicPartition(s.topic.Name, p)] = commitlog.GroupOffset{Offset: next}
	}
	err := s.writer.Begin()
	if err == nil {
		err = s.writer.Offsets(s.group, commitlog.Membership{}, offsets)
	}
	if err == nil {
		_, err = s.writer.Commit(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("group %s: commit: %w", s.group, err), s.writer.Abort())
	}
	return nil
}

// Close ends the subscription without a commit.
func (s *Subscription[K, V]) Close() error {
	var errs []error
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	return errors.Join(errs...)
}
