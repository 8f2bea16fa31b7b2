package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/internal/task"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// startTask brings one task to Running.
func (w *Worker) startTask(ctx context.Context, s *slot, groups map[commitlog.TopicPartition]commitlog.GroupOffset) error {
	var err error
	if s.position, err = w.loadPosition(ctx, s.id); err != nil {
		return err
	}
	if err := w.checkGroup(s, groups); err != nil {
		return err
	}
	if s.start, err = w.startOffsets(ctx, s); err != nil {
		return err
	}
	s.state = transition(s.state, Restoring)
	w.report(s)
	if err := w.openStore(ctx, s); err != nil {
		return err
	}
	for _, spec := range s.assigned.Sub.Stores {
		tp := commitlog.TopicPartition{Topic: changelog.StoreTopic(w.cfg.App, spec.Name), Partition: s.assigned.Partition}
		if _, err := w.writer.OpenExclusive(ctx, tp); err != nil {
			return fmt.Errorf("claim changelog %s: %w", tp, err)
		}
	}
	if err := w.newTask(s); err != nil {
		return err
	}
	now := w.cfg.Now()
	s.commit, s.flushed = now, now
	s.state = transition(s.state, Running)
	w.report(s)
	return nil
}

// newTask wires the task on its store, at the committed position, and points the
// reader at its inputs.
func (w *Worker) newTask(s *slot) error {
	t, err := task.New(task.Config{
		App: w.cfg.App, Sub: s.assigned.Sub, Partition: s.assigned.Partition, Engine: s.engine, StoreIDs: s.ids,
		Position: s.position, Start: s.start, CacheBytes: w.cfg.CacheBytes, MaxRecordBytes: w.cfg.MaxRecordBytes,
		Placement: w.cfg.Placement, Now: w.cfg.Now, RowFailed: w.rowFailed(s),
	})
	var node *topology.NodeError
	if errors.As(err, &node) {
		return &TaskError{Task: s.id, Node: node.Node, Err: node}
	}
	if err != nil {
		return err
	}
	if len(s.excluded) > 0 {
		t.Exclude(s.leftOut)
	}
	s.task = t
	for tp, offset := range t.Inputs() {
		if err := w.reader.Assign(tp, offset); err != nil {
			return fmt.Errorf("read %s from offset %d: %w", tp, offset, err)
		}
		// A move keeps the pause, but the queue for which it was made is gone.
		w.reader.Resume(tp)
	}
	clear(s.paused)
	return nil
}

func (w *Worker) loadPosition(ctx context.Context, id string) (*changelog.Position, error) {
	topic := commitlog.TopicPartition{Topic: changelog.PositionsTopic(w.cfg.App)}
	record, ok, err := w.cfg.Log.Latest(ctx, topic, []byte(id))
	if err != nil {
		return nil, fmt.Errorf("read its position from %s: %w", topic, err)
	}
	if !ok || record.Value == nil {
		return nil, nil
	}
	p, err := changelog.DecodePosition(record.Value)
	if err != nil {
		return nil, fmt.Errorf("%s offset %d: %w", topic, record.Offset, err)
	}
	return &p, nil
}

// checkGroup compares the position record with the group offsets, which were
// written in the same transaction.
func (w *Worker) checkGroup(s *slot, groups map[commitlog.TopicPartition]commitlog.GroupOffset) error {
	for _, source := range s.assigned.Sub.Sources {
		tp := commitlog.TopicPartition{Topic: source.Name, Partition: s.assigned.Partition}
		offset, inGroup := groups[tp]
		if !inGroup {
			continue // group offsets may expire; the position record does not
		}
		if s.position == nil {
			return fmt.Errorf("group %s stands at offset %d of %s but %s holds no position record; "+
				"the positions topic was deleted: reset the application", w.cfg.App, offset.Offset, tp, changelog.PositionsTopic(w.cfg.App))
		}
		if have, ok := s.position.Inputs[source.Name]; ok && have != offset.Offset {
			return fmt.Errorf("its position record says offset %d of %s, group %s says %d; "+
				"somebody else moved the group: set it back, or reset the application", have, tp, w.cfg.App, offset.Offset)
		}
	}
	return nil
}

// startOffsets says where to begin with inputs that have no committed position.
func (w *Worker) startOffsets(ctx context.Context, s *slot) (map[string]int64, error) {
	start := map[string]int64{}
	for _, source := range s.assigned.Sub.Sources {
		tp := commitlog.TopicPartition{Topic: source.Name, Partition: s.assigned.Partition}
		bounds, err := w.cfg.Log.Bounds(ctx, tp)
		if err != nil {
			return nil, fmt.Errorf("bounds of %s: %w", tp, err)
		}
		s.stable[source.Name] = bounds.StableEnd
		if s.position != nil {
			if _, ok := s.position.Inputs[source.Name]; ok {
				continue
			}
		}
		switch {
		case source.Reset == topology.Latest && !source.Internal:
			start[source.Name] = bounds.StableEnd
		case source.Reset == topology.None && !source.Internal:
			return nil, fmt.Errorf("topic %s has no committed position and its Reset is None; choose Earliest or Latest", source.Name)
		default:
			start[source.Name] = bounds.Start
		}
	}
	return start, nil
}

// openStore opens the task's store and replays what it misses. A store that
// cannot be trusted is dropped and rebuilt, and the log says why.
func (w *Worker) openStore(ctx context.Context, s *slot) error {
	for attempt := 0; ; attempt++ {
		unfit, err := w.tryStore(ctx, s)
		if err == nil && unfit == "" {
			return nil
		}
		if s.engine != nil {
			err = errors.Join(err, s.engine.Close())
			s.engine = nil
		}
		if err != nil && !errors.Is(err, state.ErrStoreDead) {
			return err
		}
		if attempt > 0 {
			return errors.Join(fmt.Errorf("its rebuilt store is unfit again: %s", unfit), err)
		}
		reason := unfit
		if err != nil {
			reason = err.Error()
		}
		w.cfg.Logger.Warn("local state is dropped and rebuilt from the changelog", "task", s.id, "reason", reason)
		if err := w.cfg.DropEngine(s.id); err != nil {
			return fmt.Errorf("drop local state: %w", err)
		}
	}
}

func (w *Worker) tryStore(ctx context.Context, s *slot) (unfit string, err error) {
	if s.engine, err = w.cfg.OpenEngine(s.id); err != nil {
		return "", fmt.Errorf("open local state: %w", err)
	}
	if unfit, err = w.unfit(ctx, s); unfit != "" || err != nil {
		return unfit, err
	}
	if s.ids, err = changelog.LoadStoreIDs(s.engine, s.assigned.Sub.Stores); err != nil {
		return "", err
	}
	horizons, err := w.horizons(s)
	if err != nil {
		return "", err
	}
	for _, spec := range s.assigned.Sub.Stores {
		if err := w.restore(ctx, s, spec, horizons[spec.Name]); err != nil {
			return "", err
		}
	}
	return "", w.sealRestore(s)
}

// unfit says why a store may not be used, or "".
func (w *Worker) unfit(ctx context.Context, s *slot) (string, error) {
	id, err := changelog.StoredLogID(s.engine)
	if err != nil {
		return "", err
	}
	if id != "" && id != w.cfg.LogID {
		return fmt.Sprintf("it belongs to log %s, this one is %s", id, w.cfg.LogID), nil
	}
	for _, spec := range s.assigned.Sub.Stores {
		next, ok, err := changelog.Applied(s.engine, spec.Name)
		if err != nil || !ok {
			if err != nil {
				return "", err
			}
			continue
		}
		tp := commitlog.TopicPartition{Topic: changelog.StoreTopic(w.cfg.App, spec.Name), Partition: s.assigned.Partition}
		bounds, err := w.cfg.Log.Bounds(ctx, tp)
		if err != nil {
			return "", fmt.Errorf("bounds of %s: %w", tp, err)
		}
		if next < bounds.Start || next > bounds.StableEnd {
			return fmt.Sprintf("store %s stands at offset %d of %s, which holds [%d, %d)", spec.Name, next, tp, bounds.Start, bounds.StableEnd), nil
		}
	}
	return "", changelog.SetLogID(s.engine, w.cfg.LogID)
}

// horizons computes below which start window rows have expired, from the
// committed clocks.
func (w *Worker) horizons(s *slot) (map[string]int64, error) {
	out := map[string]int64{}
	if s.position == nil {
		return out, nil
	}
	var clocks topology.Clocks
	if err := json.Unmarshal(s.position.Clocks, &clocks); err != nil {
		return nil, fmt.Errorf("clocks of its position: %w", err)
	}
	for _, spec := range s.assigned.Sub.Stores {
		out[spec.Name] = clocks.Horizon(spec.Name)
	}
	return out, nil
}

func (w *Worker) restore(ctx context.Context, s *slot, spec state.Spec, horizon int64) error {
	tp := commitlog.TopicPartition{Topic: changelog.StoreTopic(w.cfg.App, spec.Name), Partition: s.assigned.Partition}
	bounds, err := w.cfg.Log.Bounds(ctx, tp)
	if err != nil {
		return fmt.Errorf("bounds of %s: %w", tp, err)
	}
	from, ok, err := changelog.Applied(s.engine, spec.Name)
	if err != nil {
		return err
	}
	if !ok {
		from = bounds.Start
	}
	before := s.restored
	s.toGo = bounds.StableEnd - from
	r := &changelog.Restorer{Engine: s.engine, Spec: spec, ID: s.ids[spec.Name], Source: tp, Horizon: horizon,
		Progress: func(done, left int64) {
			s.restored, s.toGo = before+done, left
			w.report(s)
		}}
	if _, err := r.Run(ctx, w.cfg.Log, from, bounds.StableEnd); err != nil {
		return err
	}
	return w.dropExpired(s, spec, horizon)
}

// dropExpired removes window rows that were committed before they expired and
// whose removal was lost with the crash. They are hidden in any case.
func (w *Worker) dropExpired(s *slot, spec state.Spec, horizon int64) error {
	if spec.Kind != state.KindWindow || horizon <= 0 {
		return nil
	}
	b := s.engine.NewBatch()
	if err := b.DeleteRange(state.WindowRange(s.ids[spec.Name], 0, horizon)); err != nil {
		b.Close()
		return err
	}
	return s.engine.Apply(b)
}

// sealRestore stores the position that the store reflects now.
func (w *Worker) sealRestore(s *slot) error {
	if s.position == nil {
		return nil
	}
	raw, err := s.position.Encode()
	if err != nil {
		return err
	}
	b := s.engine.NewBatch()
	if err := changelog.SetPosition(b, raw); err != nil {
		b.Close()
		return err
	}
	return s.engine.Apply(b)
}

// topics returns the source topics of a task in a fixed order.
func (s *slot) topics() []string {
	var names []string
	for _, source := range s.assigned.Sub.Sources {
		names = append(names, source.Name)
	}
	slices.Sort(names)
	return names
}
