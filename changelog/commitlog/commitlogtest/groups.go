package commitlogtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func groupCases() []Case {
	groups := []Feature{FeatureGroups}
	return []Case{
		{Name: "groups/alone", Needs: groups, Why: "one process is a group too", run: aloneInGroup},
		{Name: "groups/metadata and assignments", Needs: groups, Why: "claims and assignments travel through the group", run: metadataReachLeader},
		{Name: "groups/unchanged follower", Needs: groups, Why: "a member that asks again must not stop the others", run: followerJoinsAgain},
		{Name: "groups/hand-over", Needs: groups, Why: "a task that stays must not pause, and none may have two owners", run: handOver},
		{Name: "groups/static restart", Needs: groups, Why: "a quick restart must not move tasks", run: staticRestart},
		{Name: "groups/static metadata", Needs: []Feature{FeatureGroups, FeatureStaticMetadata},
			Why: "a new address of a restarted process is no reason to rebalance", run: staticMetadata},
		{Name: "groups/replaced instance", Needs: groups, Why: "of two processes with one instance id, one must stop", run: replacedInstance},
		{Name: "groups/commit between join and sync", Needs: groups, Why: "work for tasks that stay must not be thrown away by a rebalance", run: commitInRebalance},
		{Name: "groups/silent member", Needs: groups, Why: "a frozen process that wakes up must not commit for tasks of others", run: silentMember},
		{Name: "groups/leave", Needs: groups, Why: "a shutdown must not cost the others a session timeout", run: leaveGroup},
		{Name: "groups/failed plan", Needs: groups, Why: "one member that cannot plan must not block the group", run: failedPlan},
		{Name: "groups/strangers", Needs: groups, Why: "only members may move the group's offsets", run: strangers},
	}
}

func aloneInGroup(e *env) error {
	if err := e.groupTopic(); err != nil {
		return err
	}
	p, err := e.party(e.log, "a", "")
	if err != nil {
		return err
	}
	if err := p.join(e.ctx); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	one := p.stands
	if !one.Leader || one.Member == "" || one.Generation < 1 || string(one.Assignment) != "for a" {
		return fmt.Errorf("the only member stands in %+v with assignment %q", one, one.Assignment)
	}
	if err := p.commit(e.ctx, "1", one.Membership, 1); err != nil {
		return err
	}
	if err := p.join(e.ctx); err != nil {
		return fmt.Errorf("join again: %w", err)
	}
	if p.stands.Generation < one.Generation || p.stands.Member != one.Member {
		return fmt.Errorf("joined again in %+v after %+v", p.stands.Membership, one.Membership)
	}
	if err := p.commit(e.ctx, "2", p.stands.Membership, 2); err != nil {
		return err
	}
	if err := first(func() error { return p.Leave(e.ctx) }, p.Close); err != nil {
		return fmt.Errorf("leave and close: %w", err)
	}
	return e.committed(2, "1", "2")
}

func metadataReachLeader(e *env) error {
	a, b, done, err := e.pair("", "kit-instance")
	if err != nil {
		return errors.Join(err, done())
	}
	defer done()
	c, err := e.party(e.log, "c", "")
	if err != nil {
		return err
	}
	a.says, b.says, c.says = "", "\x00\xff binary \n", string(bytes.Repeat([]byte("long "), 10_000))
	seen := make(chan []commitlog.MemberInfo, 100)
	for _, p := range []*party{a, b, c} {
		p.plan = func(members []commitlog.MemberInfo) (map[string][]byte, error) {
			seen <- slices.Clone(members)
			return echo(members)
		}
	}
	if err := e.agree(a, b, c); err != nil {
		return err
	}
	var members []commitlog.MemberInfo
	for len(seen) > 0 {
		members = <-seen
	}
	leaders := 0
	for _, p := range []*party{a, b, c} {
		if p.stands.Leader {
			leaders++
		}
		if string(p.stands.Assignment) != "for "+p.says {
			return fmt.Errorf("the member that said %.20q was assigned %.20q", p.says, p.stands.Assignment)
		}
		at := slices.IndexFunc(members, func(m commitlog.MemberInfo) bool { return m.ID == p.stands.Member })
		if at < 0 || string(members[at].Metadata) != p.says || members[at].Instance != p.cfg.Instance {
			return fmt.Errorf("the leader does not see member %s with instance %q and metadata %.20q", p.stands.Member, p.cfg.Instance, p.says)
		}
	}
	if leaders != 1 || len(members) != 3 {
		return fmt.Errorf("generation %d has %d leaders and %d members, want 1 and 3", a.stands.Generation, leaders, len(members))
	}
	return nil
}

// byRole tells who leads.
func byRole(a, b *party) (leader, follower *party) {
	if a.stands.Leader {
		return a, b
	}
	return b, a
}

func followerJoinsAgain(e *env) error {
	a, b, done, err := e.pair("", "")
	if err != nil {
		return errors.Join(err, done())
	}
	defer done()
	leader, follower := byRole(a, b)
	leader.forget()
	before := follower.stands
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	if err := follower.join(ctx); err != nil {
		return fmt.Errorf("join of a follower with unchanged metadata: %w", err)
	}
	if follower.stands.Membership != before.Membership || !bytes.Equal(follower.stands.Assignment, before.Assignment) {
		return fmt.Errorf("joining unchanged moved the follower from %+v to %+v", before, follower.stands)
	}
	if err := e.mustNotChange(leader, "a follower joined with unchanged metadata"); err != nil {
		return err
	}
	follower.says = "something new"
	joined := follower.joining(e.ctx)
	if err := e.mustChange(leader, patience, "a follower joined with changed metadata"); err != nil {
		return err
	}
	if err := errors.Join(leader.join(e.ctx), <-joined); err != nil {
		return fmt.Errorf("join after changed metadata: %w", err)
	}
	if got := string(follower.stands.Assignment); got != "for something new" || follower.stands.Generation <= before.Generation {
		return fmt.Errorf("changed metadata led to generation %d after %d, assignment %q", follower.stands.Generation, before.Generation, got)
	}
	return nil
}

func leaveGroup(e *env) error {
	a, b, done, err := e.pair("", "kit-instance")
	if err != nil {
		return errors.Join(err, done())
	}
	defer done()
	a.forget()
	gone := b.stands.Membership
	if err := b.Leave(e.ctx); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	if err := b.Close(); err != nil {
		return fmt.Errorf("close after leave: %w", err)
	}
	if err := e.mustChange(a, patience, "the other member left"); err != nil {
		return err
	}
	if err := e.agree(a); err != nil {
		return err
	}
	if !a.stands.Leader {
		return errors.New("the last member does not lead")
	}
	if err := mustFail("commit of a member that left", b.commit(e.ctx, "left", gone, 1), commitlog.ErrNotMember); err != nil {
		return err
	}
	if err := a.commit(e.ctx, "stays", a.stands.Membership, 2); err != nil {
		return err
	}
	return e.committed(2, "stays")
}

func failedPlan(e *env) error {
	a, b, done, err := e.pair("", "")
	if err != nil {
		return errors.Join(err, done())
	}
	defer done()
	leader, follower := byRole(a, b)
	failure := errors.New("no plan today")
	broken := func([]commitlog.MemberInfo) (map[string][]byte, error) { return nil, failure }
	for _, recovery := range []string{"another join", "a leave"} {
		leader.plan = broken
		leader.forget()
		follower.forget()
		led := leader.joining(e.ctx)
		if err := e.mustChange(follower, patience, "the leader joined again"); err != nil {
			return err
		}
		followed := follower.joining(e.ctx)
		if err := mustFail("join of a leader whose plan fails", <-led, failure); err != nil {
			return err
		}
		if recovery == "a leave" {
			err = leader.Leave(e.ctx)
		} else {
			leader.plan = echo
			err = leader.join(e.ctx)
		}
		if err := errors.Join(err, <-followed); err != nil {
			return fmt.Errorf("%s after a failed plan: %w", recovery, err)
		}
		if got := string(follower.stands.Assignment); got != "for "+follower.says {
			return fmt.Errorf("%s after a failed plan: the other member got %q", recovery, got)
		}
	}
	if !follower.stands.Leader {
		return errors.New("the last member does not lead")
	}
	return nil
}

func strangers(e *env) error {
	if err := e.groupTopic(); err != nil {
		return err
	}
	p, err := e.party(e.log, "a", "")
	if err != nil {
		return err
	}
	if err := e.agree(p); err != nil {
		return err
	}
	made := p.stands.Membership
	made.Member = "made-up"
	if err := mustFail("commit of an unknown member", p.commit(e.ctx, "stranger", made, 1), commitlog.ErrNotMember); err != nil {
		return err
	}
	future := p.stands.Membership
	future.Generation++
	if err := outlawed("commit of a generation to come", p.commit(e.ctx, "future", future, 2)); err != nil {
		return err
	}
	if err := p.commit(e.ctx, "nobody", commitlog.Membership{}, 3); err != nil {
		return fmt.Errorf("offsets without a membership: %w", err)
	}
	return e.committed(3, "nobody")
}
