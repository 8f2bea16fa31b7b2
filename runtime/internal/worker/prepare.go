package worker

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// base is what preparing a task and running it have in common. It does nothing
// that needs the worker's goroutine.
type base struct{ cfg Config }

// Prepared is a task that is restored and waits for a worker to run it.
type Prepared struct {
	slot *slot
	base base
}

// ID is the task's id.
func (p *Prepared) ID() string { return p.slot.id }

// Close gives the task up before a worker has run it. Its store keeps what was
// replayed.
func (p *Prepared) Close() error {
	p.slot.state = Closed
	p.base.report(p.slot)
	return p.slot.engine.Close()
}

// Prepare reads where a task stands and restores its store, on the goroutine of
// the caller and with readers of its own, so that the tasks that run go on
// meanwhile. Whoever may still have written for the task must have been fenced
// before. groups are the offsets of the application's group, read after that too.
// Of cfg it uses all but what is about commits.
func Prepare(ctx context.Context, cfg Config, a Assigned, groups map[commitlog.TopicPartition]commitlog.GroupOffset) (*Prepared, error) {
	p := &Prepared{slot: newSlot(a), base: base{cfg}}
	if err := p.base.prepare(ctx, p.slot, groups); err != nil {
		p.slot.state = Closed
		p.base.report(p.slot)
		return nil, fmt.Errorf("task %s: %w", p.slot.id, err)
	}
	return p, nil
}

func newSlot(a Assigned) *slot {
	return &slot{assigned: a, id: changelog.TaskID(a.Sub.Name, a.Partition), stable: map[string]int64{}, paused: map[string]bool{}}
}

// prepare leaves no store open if it fails.
func (w *base) prepare(ctx context.Context, s *slot, groups map[commitlog.TopicPartition]commitlog.GroupOffset) error {
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
	if err := w.settle(ctx, s); err != nil {
		return err
	}
	s.state = transition(s.state, Restoring)
	w.report(s)
	return w.openStore(ctx, s)
}

// settle finds out how far the changelogs reach. Plain bounds might still miss the
// last commit of the previous owner, whose end the log decides on its own time.
func (w *base) settle(ctx context.Context, s *slot) error {
	var tps []commitlog.TopicPartition
	for _, spec := range s.assigned.Sub.Stores {
		tps = append(tps, w.changelogOf(s, spec))
	}
	if len(tps) == 0 {
		return nil
	}
	var err error
	if s.settled, err = w.cfg.Log.Settled(ctx, tps); err != nil {
		return fmt.Errorf("settled ends of its changelogs: %w", err)
	}
	return nil
}

func (w *base) changelogOf(s *slot, spec state.Spec) commitlog.TopicPartition {
	return commitlog.TopicPartition{Topic: changelog.TopicOf(w.cfg.App, spec), Partition: s.assigned.Partition}
}

func (w *base) loadPosition(ctx context.Context, id string) (*changelog.Position, error) {
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
func (w *base) checkGroup(s *slot, groups map[commitlog.TopicPartition]commitlog.GroupOffset) error {
	for _, source := range s.assigned.Sub.Sources {
		tp := commitlog.TopicPartition{Topic: source.Name, Partition: s.assigned.Partition}
		offset, inGroup := groups[tp]
		if !inGroup {
			continue // group offsets may expire; the position record does not
		}
		if s.position == nil {
			return fmt.Errorf("group %s stands at offset %d of %s but %s holds no position record; "+
				"the positions topic was deleted, or another program has used the group: reset the application, or take the group over (goka's with gokaadopt.Group)", w.cfg.App, offset.Offset, tp, changelog.PositionsTopic(w.cfg.App))
		}
		if have, ok := s.position.Inputs[source.Name]; ok && have != offset.Offset {
			return fmt.Errorf("its position record says offset %d of %s, group %s says %d; "+
				"somebody else moved the group: set it back, or reset the application", have, tp, w.cfg.App, offset.Offset)
		}
	}
	return nil
}

// startOffsets says where to begin with inputs that have no committed position.
func (w *base) startOffsets(ctx context.Context, s *slot) (map[string]int64, error) {
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

// topics returns the source topics of a task in a fixed order.
func (s *slot) topics() []string {
	var names []string
	for _, source := range s.assigned.Sub.Sources {
		names = append(names, source.Name)
	}
	slices.Sort(names)
	return names
}
