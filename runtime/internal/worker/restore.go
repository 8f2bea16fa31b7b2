package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// openStore opens the task's store and replays what it misses. A store that
// cannot be trusted is dropped and rebuilt, and the log says why.
func (w *base) openStore(ctx context.Context, s *slot) error {
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

func (w *base) tryStore(ctx context.Context, s *slot) (unfit string, err error) {
	if s.engine, err = w.cfg.OpenEngine(s.id); err != nil {
		return "", fmt.Errorf("open local state: %w", err)
	}
	if unfit, err = w.unfit(s); unfit != "" || err != nil {
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
func (w *base) unfit(s *slot) (string, error) {
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
		tp := w.changelogOf(s, spec)
		bounds := s.settled[tp]
		if next < bounds.Start || next > bounds.StableEnd {
			return fmt.Sprintf("store %s stands at offset %d of %s, which holds [%d, %d)", spec.Name, next, tp, bounds.Start, bounds.StableEnd), nil
		}
	}
	return "", changelog.SetLogID(s.engine, w.cfg.LogID)
}

// horizons computes below which start window rows have expired, from the
// committed clocks.
func (w *base) horizons(s *slot) (map[string]int64, error) {
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

func (w *base) restore(ctx context.Context, s *slot, spec state.Spec, horizon int64) error {
	tp := w.changelogOf(s, spec)
	bounds := s.settled[tp]
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
func (w *base) dropExpired(s *slot, spec state.Spec, horizon int64) error {
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
func (w *base) sealRestore(s *slot) error {
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
