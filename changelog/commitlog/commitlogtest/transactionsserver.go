package commitlogtest

import (
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func serverTransactionCases() []Case {
	groups := []Feature{FeatureGroups}
	return []Case{
		{Name: "transactions/zombie of another process", Why: "a zombie does not share memory with its successor", run: zombieElsewhere},
		{Name: "transactions/old generation, then the new one", Needs: groups, Why: "a task that stays must not lose its work to a rebalance", run: staleThenResent},
		{Name: "transactions/old generation, then abort", Needs: groups, Why: "a task that moves must leave nothing behind", run: staleThenAborted},
		{Name: "transactions/not a member", Needs: groups, Why: "a removed process must not commit for the new owner's tasks", run: notMember},
	}
}

// again opens the log once more, as another process would, if the harness can.
func (e *env) again() (l commitlog.Log, done func() error, err error) {
	if e.harness.Again == nil {
		return e.log, func() error { return nil }, nil
	}
	l, err = e.harness.Again(e.log)
	if err != nil {
		return nil, nil, fmt.Errorf("another handle: %w", err)
	}
	return l, l.Close, nil
}

func zombieElsewhere(e *env) error {
	if _, err := e.topic("a", 2, "other"); err != nil {
		return err
	}
	elsewhere, done, err := e.again()
	if err != nil {
		return err
	}
	defer done()
	zombie, err := elsewhere.OpenWriter(e.ctx, "w")
	if err != nil {
		return err
	}
	if _, err := e.put(zombie, tp("a", 0), "before"); err != nil {
		return err
	}
	if err := first(zombie.Begin, func() error { return zombie.Append(tp("a", 0), builder("zombie")) },
		func() error { return zombie.Append(tp("a", 1), builder("zombie")) }); err != nil {
		return err
	}
	successor, err := e.writer("w")
	if err != nil {
		return err
	}
	if successor.Epoch() <= zombie.Epoch() {
		return fmt.Errorf("the successor has epoch %d, the zombie %d", successor.Epoch(), zombie.Epoch())
	}
	if _, err := e.put(successor, tp("a", 0), "after"); err != nil {
		return err
	}
	for range 2 { // it must not come back to life by trying
		_, commitErr := zombie.Commit(e.ctx)
		if err := mustFail("commit of a zombie", commitErr, commitlog.ErrFenced); err != nil {
			return err
		}
		if err := zombie.Abort(); err != nil && !errors.Is(err, commitlog.ErrFenced) {
			return fmt.Errorf("abort of a zombie: %w", err)
		}
	}
	if _, err := e.put(successor, tp("a", 0), "still"); err != nil {
		return fmt.Errorf("the successor, after the zombie's attempts: %w", err)
	}
	return e.settledValues(map[commitlog.TopicPartition][]string{tp("a", 0): {"before", "after", "still"}, tp("a", 1): nil})
}

// settledValues compares partitions after everything in them is decided.
func (e *env) settledValues(want map[commitlog.TopicPartition][]string) error {
	for at, values := range want {
		if _, err := e.log.Settled(e.ctx, []commitlog.TopicPartition{at}); err != nil {
			return fmt.Errorf("settled: %w", err)
		}
		if err := e.expect(at, values...); err != nil {
			return err
		}
	}
	return nil
}

// stale opens a transaction with the membership of a generation that the group
// then leaves, and demands that its commit says so.
func (e *env) stale() (*party, error) {
	if err := e.groupTopic(); err != nil {
		return nil, err
	}
	p, err := e.party(e.log, "a", "")
	if err != nil {
		return nil, err
	}
	if err := p.join(e.ctx); err != nil {
		return p, fmt.Errorf("join: %w", err)
	}
	if err := p.commit(e.ctx, "first", p.stands.Membership, 1); err != nil {
		return p, err
	}
	old := p.stands.Membership
	p.says = "a changed"
	if err := p.join(e.ctx); err != nil {
		return p, fmt.Errorf("join with changed metadata: %w", err)
	}
	if p.stands.Generation <= old.Generation {
		return p, fmt.Errorf("generation %d after %d", p.stands.Generation, old.Generation)
	}
	return p, mustFail("commit with the old generation", p.send(e.ctx, "second", old, 2), commitlog.ErrStaleGeneration)
}

func staleThenResent(e *env) error {
	p, err := e.stale()
	if err != nil {
		return err
	}
	defer p.Close()
	return first(func() error { return p.finish(e.ctx, p.stands.Membership, 2) },
		func() error { return e.committed(2, "first", "second") },
		func() error { return p.commit(e.ctx, "third", p.stands.Membership, 3) },
		func() error { return e.committed(3, "first", "second", "third") },
	)
}

func staleThenAborted(e *env) error {
	p, err := e.stale()
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.writer.Abort(); err != nil {
		return fmt.Errorf("abort after a stale generation: %w", err)
	}
	return first(func() error { return e.committed(1, "first") },
		func() error { return p.commit(e.ctx, "other", p.stands.Membership, 2) },
		func() error { return e.committed(2, "first", "other") },
	)
}

func notMember(e *env) error {
	if err := e.groupTopic(); err != nil {
		return err
	}
	stays, err := e.party(e.log, "a", "")
	if err != nil {
		return err
	}
	defer stays.Close()
	if err := stays.join(e.ctx); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	ghost := commitlog.Membership{Member: "nobody", Generation: stays.stands.Generation}
	err = stays.send(e.ctx, "ghost", ghost, 7)
	if err := mustFail("commit of a member that the group does not know", err, commitlog.ErrNotMember); err != nil {
		return err
	}
	if err := stays.writer.Abort(); err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	return first(func() error { return stays.commit(e.ctx, "sound", stays.stands.Membership, 1) },
		func() error { return e.committed(1, "sound") })
}
