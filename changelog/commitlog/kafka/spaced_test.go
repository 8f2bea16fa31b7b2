package kafka

import (
	"context"
	"errors"
	"strings"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// spaced is a log in a name space: a prefix on every name that goes in, which is
// taken off what comes out.
type spaced struct {
	*Log
	prefix string
}

type (
	topicPartition     = commitlog.TopicPartition
	offsetsByPartition = map[commitlog.TopicPartition]commitlog.GroupOffset
)

func (s *spaced) in(tp topicPartition) topicPartition {
	return topicPartition{Topic: s.prefix + tp.Topic, Partition: tp.Partition}
}

func (s *spaced) out(tp topicPartition) topicPartition {
	return topicPartition{Topic: strings.TrimPrefix(tp.Topic, s.prefix), Partition: tp.Partition}
}

func mapKeys[V any](m map[topicPartition]V, f func(topicPartition) topicPartition) map[topicPartition]V {
	mapped := make(map[topicPartition]V, len(m))
	for tp, v := range m {
		mapped[f(tp)] = v
	}
	return mapped
}

// err takes the prefix off the places that an error names.
func (s *spaced) err(err error) error {
	var out *commitlog.OffsetOutOfRangeError
	if errors.As(err, &out) {
		stripped := *out
		stripped.TopicPartition = s.out(out.TopicPartition)
		return errors.Join(&stripped, err)
	}
	return err
}

func (s *spaced) CreateTopic(ctx context.Context, cfg commitlog.TopicConfig) error {
	cfg.Name = s.prefix + cfg.Name
	return s.Log.CreateTopic(ctx, cfg)
}

func (s *spaced) DeleteTopic(ctx context.Context, name string) error {
	return s.Log.DeleteTopic(ctx, s.prefix+name)
}

func (s *spaced) Topic(ctx context.Context, name string) (commitlog.TopicConfig, error) {
	cfg, err := s.Log.Topic(ctx, s.prefix+name)
	cfg.Name = strings.TrimPrefix(cfg.Name, s.prefix)
	return cfg, err
}

func (s *spaced) Topics(ctx context.Context) ([]commitlog.TopicConfig, error) {
	all, err := s.Log.Topics(ctx)
	var mine []commitlog.TopicConfig
	for _, cfg := range all {
		if name, ok := strings.CutPrefix(cfg.Name, s.prefix); ok {
			cfg.Name = name
			mine = append(mine, cfg)
		}
	}
	return mine, err
}

func (s *spaced) Bounds(ctx context.Context, tp topicPartition) (commitlog.Bounds, error) {
	return s.Log.Bounds(ctx, s.in(tp))
}

func (s *spaced) Settled(ctx context.Context, tps []topicPartition) (map[topicPartition]commitlog.Bounds, error) {
	inside := make([]topicPartition, len(tps))
	for i, tp := range tps {
		inside[i] = s.in(tp)
	}
	settled, err := s.Log.Settled(ctx, inside)
	return mapKeys(settled, s.out), err
}

func (s *spaced) Trim(ctx context.Context, tp topicPartition, before int64) error {
	return s.err(s.Log.Trim(ctx, s.in(tp), before))
}

func (s *spaced) GroupOffsets(ctx context.Context, group string) (offsetsByPartition, error) {
	offsets, err := s.Log.GroupOffsets(ctx, s.prefix+group)
	return mapKeys(offsets, s.out), err
}

func (s *spaced) Latest(ctx context.Context, tp topicPartition, key []byte) (commitlog.Record, bool, error) {
	return s.Log.Latest(ctx, s.in(tp), key)
}

func (s *spaced) ReadAt(ctx context.Context, at []commitlog.RecordID) ([]commitlog.Record, error) {
	inside := make([]commitlog.RecordID, len(at))
	for i, id := range at {
		inside[i] = commitlog.RecordID{TopicPartition: s.in(id.TopicPartition), Offset: id.Offset}
	}
	return s.Log.ReadAt(ctx, inside)
}

func (s *spaced) NewReader(opts commitlog.ReaderOptions) (commitlog.Reader, error) {
	r, err := s.Log.NewReader(opts)
	if err != nil {
		return nil, err
	}
	return &spacedReader{r, s}, nil
}

func (s *spaced) OpenWriter(ctx context.Context, id string) (commitlog.Writer, error) {
	w, err := s.Log.OpenWriter(ctx, s.prefix+id)
	if err != nil {
		return nil, err
	}
	return &spacedWriter{w, s}, nil
}

func (s *spaced) OpenMember(ctx context.Context, cfg commitlog.GroupConfig) (commitlog.Member, error) {
	cfg.Group = s.prefix + cfg.Group
	return s.Log.OpenMember(ctx, cfg)
}

type spacedReader struct {
	commitlog.Reader
	s *spaced
}

func (r *spacedReader) Assign(tp topicPartition, offset int64) error {
	return r.Reader.Assign(r.s.in(tp), offset)
}
func (r *spacedReader) Unassign(tp topicPartition) { r.Reader.Unassign(r.s.in(tp)) }
func (r *spacedReader) Pause(tp topicPartition)    { r.Reader.Pause(r.s.in(tp)) }
func (r *spacedReader) Resume(tp topicPartition)   { r.Reader.Resume(r.s.in(tp)) }

func (r *spacedReader) Poll(ctx context.Context) ([]commitlog.Fetched, error) {
	fetched, err := r.Reader.Poll(ctx)
	for i := range fetched {
		fetched[i].TopicPartition = r.s.out(fetched[i].TopicPartition)
	}
	return fetched, r.s.err(err)
}

type spacedWriter struct {
	commitlog.Writer
	s *spaced
}

func (w *spacedWriter) ID() string { return strings.TrimPrefix(w.Writer.ID(), w.s.prefix) }

func (w *spacedWriter) Append(tp topicPartition, b *recordbatch.Builder) error {
	return w.Writer.Append(w.s.in(tp), b)
}

func (w *spacedWriter) OpenExclusive(ctx context.Context, tp topicPartition) (int64, error) {
	return w.Writer.OpenExclusive(ctx, w.s.in(tp))
}

func (w *spacedWriter) CloseExclusive(tp topicPartition) error {
	return w.Writer.CloseExclusive(w.s.in(tp))
}

func (w *spacedWriter) AppendExclusive(tp topicPartition, b *recordbatch.Builder) (int64, error) {
	return w.Writer.AppendExclusive(w.s.in(tp), b)
}

func (w *spacedWriter) Offsets(group string, as commitlog.Membership, offsets offsetsByPartition) error {
	return w.Writer.Offsets(w.s.prefix+group, as, mapKeys(offsets, w.s.in))
}

func (w *spacedWriter) Commit(ctx context.Context) (map[topicPartition]commitlog.Range, error) {
	ranges, err := w.Writer.Commit(ctx)
	return mapKeys(ranges, w.s.out), err
}
