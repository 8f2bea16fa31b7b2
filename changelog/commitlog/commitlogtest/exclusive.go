package commitlogtest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func exclusiveCases() []Case {
	return []Case{
		{Name: "exclusive/claimed offset is the real one", Why: "index entries hold changelog offsets before the commit; a wrong one answers with another key's value", run: claimedOffsets},
		{Name: "exclusive/one holder", Why: "a second writer would move the offsets promised to the first", Needs: []Feature{FeatureHolder}, run: oneHolder},
		{Name: "exclusive/given up", Why: "a task moves between workers that live on, and may come back", run: claimGivenUp},
		{Name: "exclusive/take-over", Why: "a moved task claims the changelog of the dead worker", run: claimTakenOver},
	}
}

func claimedOffsets(e *env) error {
	w, err := e.topic("changelog", 1, "w")
	if err != nil {
		return err
	}
	at := tp("changelog", 0)
	if _, err := e.put(w, at, "before"); err != nil {
		return err
	}
	claimed := map[int64]string{}
	for round := range 6 {
		if _, err := w.OpenExclusive(e.ctx, at); err != nil {
			return err
		}
		if err := w.Begin(); err != nil {
			return err
		}
		promised := map[int64]string{}
		for i := range 3 {
			value := fmt.Sprintf("%d.%d", round, i)
			base, err := w.AppendExclusive(at, builder(value, value+"'"))
			if err != nil {
				return err
			}
			promised[base], promised[base+1] = value, value+"'"
		}
		if round%3 == 2 {
			if err := w.Abort(); err != nil {
				return err
			}
			continue
		}
		if _, err := w.Commit(e.ctx); err != nil {
			return err
		}
		for offset, value := range promised {
			claimed[offset] = value
		}
	}
	records, err := e.records(at)
	if err != nil {
		return err
	}
	if len(records) != len(claimed)+1 {
		return fmt.Errorf("%d records, want %d", len(records), len(claimed)+1)
	}
	for _, r := range records[1:] {
		if claimed[r.offset] != r.value {
			return fmt.Errorf("offset %d holds %q, AppendExclusive promised it to %q", r.offset, r.value, claimed[r.offset])
		}
	}
	return nil
}

func oneHolder(e *env) error {
	holder, err := e.topic("a", 1, "holder")
	if err != nil {
		return err
	}
	other, err := e.writer("other")
	if err != nil {
		return err
	}
	// What the other one has under way when the claim is made must not get in.
	if err := first(other.Begin, func() error { return other.Append(tp("a", 0), builder("early")) }); err != nil {
		return err
	}
	if _, err := holder.OpenExclusive(e.ctx, tp("a", 0)); err != nil {
		return err
	}
	_, commitErr := other.Commit(e.ctx)
	if err := errors.Join(other.Abort(), other.Begin()); err != nil {
		return err
	}
	_, claimErr := other.OpenExclusive(e.ctx, tp("a", 0))
	for what, err := range map[string]error{
		"Commit of an earlier Append": commitErr, "OpenExclusive": claimErr, "Append": other.Append(tp("a", 0), builder("late")),
	} {
		if err == nil || !strings.Contains(err.Error(), "holder") {
			return fmt.Errorf("%s by another writer gave %v, want an error that names the holder", what, err)
		}
	}
	if err := errors.Join(other.Abort(), holder.Close()); err != nil {
		return err
	}
	if _, err := other.OpenExclusive(e.ctx, tp("a", 0)); err != nil {
		return fmt.Errorf("claim after the holder closed: %w", err)
	}
	return e.expect(tp("a", 0))
}

// claimGivenUp moves a partition to and fro between two writers.
func claimGivenUp(e *env) error {
	a, err := e.topic("a", 1, "one")
	if err != nil {
		return err
	}
	b, err := e.writer("two")
	if err != nil {
		return err
	}
	at := tp("a", 0)
	for round := range 4 {
		w, value := []commitlog.Writer{a, b}[round%2], fmt.Sprint(round)
		next, err := w.OpenExclusive(e.ctx, at)
		if err != nil {
			return fmt.Errorf("round %d: claim of what the other one gave up: %w", round, err)
		}
		var base int64
		err = first(w.Begin, func() (err error) { base, err = w.AppendExclusive(at, builder(value)); return err })
		if err != nil {
			return err
		}
		if _, err := w.Commit(e.ctx); err != nil {
			return err
		}
		if base != next {
			return fmt.Errorf("round %d: appended at %d, the claim said %d", round, base, next)
		}
		if err := w.CloseExclusive(at); err != nil {
			return err
		}
		err = first(w.Begin, func() error { _, err := w.AppendExclusive(at, builder("late")); return err })
		if err == nil {
			return fmt.Errorf("round %d: an exclusive append without the claim was accepted", round)
		}
		if err := w.Abort(); err != nil {
			return err
		}
	}
	return e.expect(at, "0", "1", "2", "3")
}

func claimTakenOver(e *env) error {
	old, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	if _, err := old.OpenExclusive(e.ctx, tp("a", 0)); err != nil {
		return err
	}
	if err := old.Begin(); err != nil {
		return err
	}
	if _, err := old.AppendExclusive(tp("a", 0), builder("never")); err != nil {
		return err
	}
	successor, err := e.writer("w")
	if err != nil {
		return err
	}
	if _, err := successor.OpenExclusive(e.ctx, tp("a", 0)); err != nil {
		return fmt.Errorf("claim by the successor: %w", err)
	}
	if err := successor.Begin(); err != nil {
		return err
	}
	base, err := successor.AppendExclusive(tp("a", 0), builder("mine"))
	if err != nil {
		return err
	}
	if _, err := old.Commit(e.ctx); !errors.Is(err, commitlog.ErrFenced) {
		return fmt.Errorf("commit of the old holder gave %v, want ErrFenced", err)
	}
	ranges, err := successor.Commit(e.ctx)
	if err != nil {
		return err
	}
	if got := ranges[tp("a", 0)]; got != (commitlog.Range{Base: base, Next: base + 1}) {
		return fmt.Errorf("promised offset %d, committed %v", base, got)
	}
	return e.expect(tp("a", 0), "mine")
}
