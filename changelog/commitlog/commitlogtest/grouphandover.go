package commitlogtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

const kitTasks = 4

// share is a cooperative plan over tasks 0 to 3: members say what they have, keep
// up to their share of it, and get what nobody says to have.
func share(members []commitlog.MemberInfo) (map[string][]byte, error) {
	limit := (kitTasks + len(members) - 1) / len(members)
	members = slices.SortedFunc(slices.Values(members), func(a, b commitlog.MemberInfo) int { return cmp.Compare(a.ID, b.ID) })
	free := map[string]bool{}
	for i := range kitTasks {
		free[strconv.Itoa(i)] = true
	}
	keeps := map[string][]string{}
	for _, m := range members {
		for _, task := range strings.Fields(string(m.Metadata)) {
			if !free[task] {
				return nil, fmt.Errorf("task %s has two owners", task)
			}
			delete(free, task)
			if len(keeps[m.ID]) < limit {
				keeps[m.ID] = append(keeps[m.ID], task)
			}
		}
	}
	assignments := map[string][]byte{}
	for _, m := range members {
		for i := 0; i < kitTasks && len(keeps[m.ID]) < limit; i++ {
			if task := strconv.Itoa(i); free[task] {
				delete(free, task)
				keeps[m.ID] = append(keeps[m.ID], task)
			}
		}
		assignments[m.ID] = []byte(strings.Join(keeps[m.ID], " "))
	}
	return assignments, nil
}

// committer commits without a pause, under the membership of the moment.
type committer struct {
	party *party
	mu    struct {
		sync.Mutex
		as      commitlog.Membership
		commits int
		stop    bool
	}
	ended chan error
}

func (p *party) committing(ctx context.Context) *committer {
	c := &committer{party: p, ended: make(chan error, 1)}
	c.mu.as = p.stands.Membership
	go func() { c.ended <- c.run(ctx) }()
	return c
}

func (c *committer) state() (as commitlog.Membership, commits int, stop bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.as, c.mu.commits, c.mu.stop
}

func (c *committer) run(ctx context.Context) error {
	for {
		as, n, stop := c.state()
		if stop {
			return nil
		}
		err := c.party.send(ctx, strconv.Itoa(n), as, int64(n+1))
		for errors.Is(err, commitlog.ErrStaleGeneration) {
			// The transaction is still open; it goes on with the next generation.
			if err := sleep(ctx, time.Millisecond); err != nil {
				return fmt.Errorf("no new generation came: %w", err)
			}
			if as, _, _ = c.state(); as.Generation != 0 {
				err = c.party.finish(ctx, as, int64(n+1))
			}
		}
		if err != nil {
			return fmt.Errorf("commit %d as %+v: %w", n, as, err)
		}
		c.mu.Lock()
		c.mu.commits++
		c.mu.Unlock()
		if err := sleep(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// progress switches to a membership and demands commits after this moment.
func (c *committer) progress(ctx context.Context, as commitlog.Membership, when string) error {
	c.mu.Lock()
	c.mu.as = as
	from := c.mu.commits
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if _, commits, _ := c.state(); commits >= from+2 {
			return nil
		}
		select {
		case err := <-c.ended:
			return fmt.Errorf("commits ended %s: %w", when, err)
		case <-ctx.Done():
			return fmt.Errorf("no commit went through %s", when)
		case <-time.After(time.Millisecond):
		}
	}
}

// finish stops and returns how many commits there were.
func (c *committer) finish() (int, error) {
	c.mu.Lock()
	c.mu.stop = true
	c.mu.Unlock()
	err := <-c.ended
	_, commits, _ := c.state()
	return commits, err
}

// holds demands assignments in one generation.
func holds(a *party, wantA string, b *party, wantB string) error {
	if a.stands.Generation != b.stands.Generation {
		return fmt.Errorf("the members stand in generations %d and %d", a.stands.Generation, b.stands.Generation)
	}
	if gotA, gotB := string(a.stands.Assignment), string(b.stands.Assignment); gotA != wantA || gotB != wantB {
		return fmt.Errorf("generation %d gives {%s} and {%s}, want {%s} and {%s}", a.stands.Generation, gotA, gotB, wantA, wantB)
	}
	return nil
}

// handOver moves two of four tasks from a to b in two phases, while a commits on.
func handOver(e *env) error {
	if err := e.groupTopic(); err != nil {
		return err
	}
	a, err := e.party(e.log, "a", "")
	if err != nil {
		return err
	}
	b, err := e.party(e.log, "b", "")
	if err != nil {
		return err
	}
	a.plan, b.plan, a.says, b.says = share, share, "", ""
	if err := e.agree(a); err != nil {
		return err
	}
	if got := string(a.stands.Assignment); got != "0 1 2 3" {
		return fmt.Errorf("the only member has {%s}, want all tasks", got)
	}
	c := a.committing(e.ctx)
	if err := c.progress(e.ctx, a.stands.Membership, "before the second member"); err != nil {
		return err
	}
	joined := b.joining(e.ctx)
	if err := e.mustChange(a, patience, "another member joins"); err != nil {
		return err
	}
	if err := c.progress(e.ctx, a.stands.Membership, "while the group waits for this member"); err != nil {
		return err
	}
	a.says = "0 1 2 3"
	if err := errors.Join(a.join(e.ctx), <-joined); err != nil {
		return fmt.Errorf("first phase: %w", err)
	}
	if err := holds(a, "0 1", b, ""); err != nil {
		return err
	}
	if err := c.progress(e.ctx, a.stands.Membership, "between the phases"); err != nil {
		return err
	}
	a.says = "0 1"
	joined = a.joining(e.ctx)
	if err := e.mustChange(b, patience, "the owner has given tasks up"); err != nil {
		return err
	}
	if err := errors.Join(b.join(e.ctx), <-joined); err != nil {
		return fmt.Errorf("second phase: %w", err)
	}
	if err := holds(a, "0 1", b, "2 3"); err != nil {
		return err
	}
	if err := c.progress(e.ctx, a.stands.Membership, "after the hand-over"); err != nil {
		return err
	}
	commits, err := c.finish()
	if err != nil {
		return err
	}
	var want []string
	for i := range commits {
		want = append(want, strconv.Itoa(i))
	}
	return e.committed(int64(commits), want...)
}

// commitInRebalance commits from within a plan, when members have joined a
// generation and none has its assignment yet.
func commitInRebalance(e *env) error {
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
	old := p.stands.Membership
	var refused error
	p.plan = func(members []commitlog.MemberInfo) (map[string][]byte, error) {
		refused = p.send(e.ctx, "once", old, 1)
		return echo(members)
	}
	if err := p.join(e.ctx); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	if err := mustFail("commit with the old generation", refused, commitlog.ErrStaleGeneration); err != nil {
		return err
	}
	if offsets, err := e.log.GroupOffsets(e.ctx, kitGroup); err != nil || len(offsets) > 0 {
		return fmt.Errorf("a refused commit moved the group to %v, %v", offsets, err)
	}
	if err := p.finish(e.ctx, old, 1); !errors.Is(err, commitlog.ErrStaleGeneration) {
		return fmt.Errorf("the old generation once more: got error %v, want %q", err, commitlog.ErrStaleGeneration)
	}
	if err := p.finish(e.ctx, p.stands.Membership, 1); err != nil {
		return fmt.Errorf("the same transaction with the new generation: %w", err)
	}
	if err := p.commit(e.ctx, "next", p.stands.Membership, 2); err != nil {
		return err
	}
	return e.committed(2, "once", "next")
}

// silentMember lets a member fall silent with a transaction open.
func silentMember(e *env) error {
	a, b, done, err := e.pair("", "")
	if err != nil {
		return errors.Join(err, done())
	}
	defer done()
	// The survivor first, so that only the silent one's short session matters.
	if err := first(func() error { return b.Leave(e.ctx) }, b.Close); err != nil {
		return err
	}
	c, err := e.party(e.log, "c", "")
	if err != nil {
		return err
	}
	c.cfg.SessionTimeout = e.session()
	if c.Member, err = e.log.OpenMember(e.ctx, c.cfg); err != nil {
		return err
	}
	if err := e.agree(a, c); err != nil {
		return err
	}
	a.forget()
	began := time.Now()
	if err := c.Close(); err != nil {
		return fmt.Errorf("close member: %w", err)
	}
	if err := e.mustChange(a, 2*e.session()+patience, "the other member is silent for longer than its session"); err != nil {
		return err
	}
	if took := time.Since(began); took < e.session()/2 {
		return fmt.Errorf("a member was removed %v after it fell silent, its session timeout is %v", took, e.session())
	}
	if err := e.agree(a); err != nil {
		return err
	}
	if err := outlawed("commit of a removed member", c.commit(e.ctx, "zombie", c.stands.Membership, 9)); err != nil {
		return err
	}
	if err := a.commit(e.ctx, "survivor", a.stands.Membership, 1); err != nil {
		return err
	}
	return e.committed(1, "survivor")
}
