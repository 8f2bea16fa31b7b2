package commitlogtest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// FeaturePromptFencing: every call of a fenced writer fails. Without it, fencing is
// noticed at Commit at the latest: calls that need no server may succeed.
const FeaturePromptFencing Feature = "prompt fencing"

func fencingCases() []Case {
	return []Case{
		{Name: "fencing/zombie", Why: "a paused process that wakes up must not write beside its successor", run: zombieIsFenced},
		{Name: "fencing/take-over aborts", Why: "a new owner reads positions at once: nothing of the old one may come later", run: takeOverAborts},
		{Name: "fencing/epochs grow", Why: "two holders with one epoch could not be told apart", run: epochsGrow},
		{Name: "fencing/other identities", Why: "fencing one worker must not stop the others", run: othersGoOn},
	}
}

func zombieIsFenced(e *env) error {
	calls := map[string]func(w commitlog.Writer) error{
		"Begin":  func(w commitlog.Writer) error { return errors.Join(w.Abort(), w.Begin()) },
		"Append": func(w commitlog.Writer) error { return w.Append(tp("a", 0), builder("zombie")) },
		"Offsets": func(w commitlog.Writer) error {
			return w.Offsets("g", commitlog.Membership{}, map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", 0): {Offset: 9}})
		},
		"AppendExclusive": func(w commitlog.Writer) error { _, err := w.AppendExclusive(tp("a", 1), builder("zombie")); return err },
		"OpenExclusive":   func(w commitlog.Writer) error { _, err := w.OpenExclusive(e.ctx, tp("a", 1)); return err },
		"Commit":          func(w commitlog.Writer) error { _, err := w.Commit(e.ctx); return err },
	}
	if _, err := e.topic("a", 2, "w"); err != nil {
		return err
	}
	for what, call := range calls {
		old, err := e.writer("w")
		if err != nil {
			return err
		}
		if _, err := old.OpenExclusive(e.ctx, tp("a", 1)); err != nil {
			return err
		}
		if err := first(old.Begin, func() error { return old.Append(tp("a", 0), builder("zombie")) }); err != nil {
			return err
		}
		if _, err := e.writer("w"); err != nil {
			return err
		}
		err = call(old)
		if err == nil && what != "Commit" && !e.harness.offers(FeaturePromptFencing) {
			what += " and Commit"
			err = first(func() error { return old.Append(tp("a", 0), builder("zombie")) }, func() error { _, err := old.Commit(e.ctx); return err })
		}
		if err := mustFail(what+" of a fenced writer", err, commitlog.ErrFenced); err != nil {
			return err
		}
	}
	if offsets, err := e.log.GroupOffsets(e.ctx, "g"); err != nil || len(offsets) > 0 {
		return fmt.Errorf("a fenced writer committed offsets %v, %v", offsets, err)
	}
	return first(func() error { return e.expect(tp("a", 0)) }, func() error { return e.expect(tp("a", 1)) })
}

func (h Harness) offers(f Feature) bool { return !slices.Contains(h.Missing, f) }

func takeOverAborts(e *env) error {
	old, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	if _, err := e.put(old, tp("a", 0), "committed"); err != nil {
		return err
	}
	if err := first(old.Begin, func() error { return old.Append(tp("a", 0), builder("open")) }); err != nil {
		return err
	}
	successor, err := e.writer("w")
	if err != nil {
		return err
	}
	if err := e.expect(tp("a", 0), "committed"); err != nil {
		return fmt.Errorf("after the take-over: %w", err)
	}
	if _, err := old.Commit(e.ctx); !errors.Is(err, commitlog.ErrFenced) {
		return fmt.Errorf("the old holder's commit gave %v, want ErrFenced", err)
	}
	if _, err := e.put(successor, tp("a", 0), "next"); err != nil {
		return err
	}
	return e.expect(tp("a", 0), "committed", "next")
}

func epochsGrow(e *env) error {
	last := int64(-1)
	for i := range 4 {
		w, err := e.writer("w")
		if err != nil {
			return err
		}
		if w.ID() != "w" || w.Epoch() <= last {
			return fmt.Errorf("opening %d: writer %q has epoch %d after %d", i, w.ID(), w.Epoch(), last)
		}
		last = w.Epoch()
	}
	return nil
}

func othersGoOn(e *env) error {
	a, err := e.topic("a", 1, "one")
	if err != nil {
		return err
	}
	if err := first(a.Begin, func() error { return a.Append(tp("a", 0), builder("x")) }); err != nil {
		return err
	}
	if _, err := e.writer("two"); err != nil {
		return err
	}
	if _, err := a.Commit(e.ctx); err != nil {
		return fmt.Errorf("commit after another identity was opened: %w", err)
	}
	return e.expect(tp("a", 0), "x")
}
