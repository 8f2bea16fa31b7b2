package commitlogtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// restart ends a party's member as a crash would and brings it back.
func (e *env) restart(p *party, l commitlog.Log) error {
	if err := p.Close(); err != nil {
		return fmt.Errorf("close member: %w", err)
	}
	m, err := l.OpenMember(e.ctx, p.cfg)
	if err != nil {
		return fmt.Errorf("open member: %w", err)
	}
	p.Member = m
	before := p.stands
	// Well within the session: nobody has to join for it, so it must not wait.
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	if err := p.join(ctx); err != nil {
		return fmt.Errorf("join of a static member that came back: %w", err)
	}
	if p.stands.Generation != before.Generation || !bytes.Equal(p.stands.Assignment, before.Assignment) {
		return fmt.Errorf("a static member came back to generation %d with %q, it had %d with %q",
			p.stands.Generation, p.stands.Assignment, before.Generation, before.Assignment)
	}
	return nil
}

func staticRestart(e *env) error {
	a, b, done, err := e.pair("kit-one", "kit-two")
	if err != nil {
		return errors.Join(err, done())
	}
	defer done()
	leader, follower := byRole(a, b)
	offset := int64(0)
	for _, turn := range []struct {
		who           string
		restarts, and *party
	}{{"follower", follower, leader}, {"leader", leader, follower}} {
		turn.and.forget()
		if err := e.restart(turn.restarts, e.log); err != nil {
			return fmt.Errorf("%s: %w", turn.who, err)
		}
		if err := e.mustNotChange(turn.and, "a static "+turn.who+" only restarted"); err != nil {
			return err
		}
		for _, p := range []*party{turn.restarts, turn.and} {
			offset++
			if err := p.commit(e.ctx, fmt.Sprint(offset), p.stands.Membership, offset); err != nil {
				return fmt.Errorf("commit after the restart of the %s: %w", turn.who, err)
			}
		}
	}
	return e.committed(4, "1", "2", "3", "4")
}

func staticMetadata(e *env) error {
	a, b, done, err := e.pair("kit-one", "kit-two")
	if err != nil {
		return errors.Join(err, done())
	}
	defer done()
	leader, follower := byRole(a, b)
	leader.forget()
	follower.says = "moved"
	if err := e.restart(follower, e.log); err != nil {
		return err
	}
	if err := e.mustNotChange(leader, "a static follower restarted, if with other metadata"); err != nil {
		return err
	}
	// The leader learns it with the next generation, whatever brings that about.
	follower.forget()
	led := leader.joining(e.ctx)
	if err := e.mustChange(follower, patience, "the leader joined again"); err != nil {
		return err
	}
	if err := errors.Join(follower.join(e.ctx), <-led); err != nil {
		return err
	}
	if got := string(follower.stands.Assignment); got != "for moved" {
		return fmt.Errorf("the leader planned %q from old metadata", got)
	}
	return nil
}

func replacedInstance(e *env) error {
	a, b, done, err := e.pair("kit-one", "kit-two")
	if err != nil {
		return errors.Join(err, done())
	}
	defer done()
	a.forget()
	second, err := e.party(e.log, "second", "kit-one")
	if err != nil {
		return err
	}
	second.says = a.says
	if err := second.join(e.ctx); err != nil {
		return fmt.Errorf("join with the instance id of another: %w", err)
	}
	if err := mustFail("commit of a replaced member", a.commit(e.ctx, "old", a.stands.Membership, 1), commitlog.ErrNotMember); err != nil {
		return err
	}
	if err := e.mustChange(a, patience, "another process took its instance id"); err != nil {
		return err
	}
	for range 2 {
		if err := mustFail("join of a replaced member", a.join(e.ctx), commitlog.ErrFenced); err != nil {
			return err
		}
	}
	if err := a.Close(); err != nil {
		return fmt.Errorf("close of a replaced member: %w", err)
	}
	if err := second.commit(e.ctx, "new", second.stands.Membership, 2); err != nil {
		return fmt.Errorf("commit of the new holder: %w", err)
	}
	if err := b.commit(e.ctx, "bystander", b.stands.Membership, 3); err != nil {
		return fmt.Errorf("commit of another member: %w", err)
	}
	return e.committed(3, "new", "bystander")
}
