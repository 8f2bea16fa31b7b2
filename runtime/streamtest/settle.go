package streamtest

import (
	"context"
	"time"
)

// event is what a schedule lets happen behind a record.
type event uint8

const (
	nothing event = iota
	commit
	crash           // before the commit: the record is processed again
	commitThenCrash // nothing may be processed again
	flushThenCrash  // as crash, with everything committed durable in the stores
)

// next draws what happens behind a record.
func (d *Driver) next() event {
	switch d.mode.Schedule {
	case EveryCommit:
		return commit
	case EveryRestart:
		return crash
	case Random:
		happened := event(d.random.IntN(int(flushThenCrash) + 1))
		if happened == nothing && !d.topics.ordered {
			return commit
		}
		return happened
	}
	return nothing
}

// advance moves the clock. Wall-clock punctuation is tied to nothing in the log:
// if a crash made records of both sides of it be processed again, it would come
// behind all of them. So where crashes are drawn, everything before it is
// committed, and it is committed itself.
func (d *Driver) advance(by time.Duration) error {
	if d.mode.Schedule == Random {
		if err := d.sync(); err != nil {
			return err
		}
	}
	d.now = d.now.Add(by)
	if err := d.settle(); err != nil || d.mode.Schedule != Random {
		return err
	}
	return d.sync()
}

// settle processes until nothing is left to do, in rounds: what one round writes
// to internal topics is input of the next.
func (d *Driver) settle() error {
	for round := 0; ; round++ {
		records, err := d.process()
		if err != nil || (records == 0 && round > 0) {
			return err
		}
		happened := d.next()
		if happened == nothing && !d.topics.internal {
			return nil
		}
		if err := d.let(happened); err != nil {
			return err
		}
	}
}

// let makes an event happen, and then the commit without which the results do
// not reach the next sub-topology.
func (d *Driver) let(happened event) error {
	ctx := context.Background()
	switch happened {
	case nothing, commit:
		return d.worker.Commit(ctx)
	case commitThenCrash:
		if err := d.worker.Commit(ctx); err != nil {
			return err
		}
		return d.restart()
	case flushThenCrash:
		if err := d.disk.flush(); err != nil {
			return err
		}
	}
	if err := d.restart(); err != nil {
		return err
	}
	if _, err := d.process(); err != nil {
		return err
	}
	return d.worker.Commit(ctx)
}

// process lets the worker take turns until there is no input left that it can
// see, and no window to close.
func (d *Driver) process() (records int, err error) {
	for {
		p, err := d.worker.Turn(context.Background(), 0)
		records += p.Records
		if err != nil || (p.Records == 0 && !p.Pending) {
			return records, err
		}
	}
}

// sync commits until nothing is left to do.
func (d *Driver) sync() error {
	d.usable()
	for {
		if err := d.worker.Commit(context.Background()); err != nil {
			return err
		}
		records, err := d.process()
		if err != nil || records == 0 {
			return err
		}
	}
}

// restart kills the worker and starts another one on what is durable.
func (d *Driver) restart() error {
	d.disk.crash(d.survival())
	if err := d.worker.Kill(); err != nil {
		return err
	}
	if err := d.stopGlobals(); err != nil {
		return err
	}
	return d.start()
}

// survival is how much, in percent, of what the stores have not synced a crash
// leaves.
func (d *Driver) survival() (percent int, seed uint64) {
	if d.mode.Schedule != Random {
		return 0, 0
	}
	return []int{0, 50, 100}[d.random.IntN(3)], d.random.Uint64()
}
