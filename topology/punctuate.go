package topology

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/processor"
)

// punctuation is one schedule of a processor.
type punctuation struct {
	id       string
	clock    processor.Clock
	interval int64 // milliseconds
	due      int64 // on its clock, milliseconds since the epoch
	run      func(processor.Timestamp) error
}

// schedule adds a punctuation, due when it was due before a restart.
func (i *Instance) schedule(p *punctuation) error {
	for _, other := range i.schedules {
		if other.id == p.id {
			return fmt.Errorf("Schedule %q: the processor has a schedule of this name already", p.id)
		}
	}
	due, restored := i.clocks.Punctuations[p.id]
	switch {
	case restored:
		p.due = due
	case p.clock == processor.WallClock:
		p.due = i.env.Now().UnixMilli() + p.interval
		i.newSchedules = true
	}
	i.schedules = append(i.schedules, p)
	return nil
}

// NewSchedules says that a wall-clock punctuation was scheduled for the first
// time: its due time is not part of the committed position yet.
func (i *Instance) NewSchedules() bool { return i.newSchedules }

// punctuateStream runs the stream-time punctuations that are due. Missed
// intervals give one call; the next one is due at a multiple of the interval.
func (i *Instance) punctuateStream() error {
	t := int64(i.streamTime)
	if t < 0 {
		return nil
	}
	for _, p := range i.schedules {
		if p.clock != processor.StreamTime || t < p.due {
			continue
		}
		p.due = (t/p.interval + 1) * p.interval
		i.now = i.streamTime
		if err := i.tolerate(RowFailure{Time: t}, func() error { return p.run(i.streamTime) }); err != nil {
			return err
		}
	}
	return nil
}

// PunctuateWall runs the wall-clock punctuations that are due at now, and
// reports whether there were any.
func (i *Instance) PunctuateWall(now time.Time) (ran bool, err error) {
	defer i.recovered(&err)
	t := now.UnixMilli()
	for _, p := range i.schedules {
		if p.clock != processor.WallClock || t < p.due {
			continue
		}
		p.due += ((t-p.due)/p.interval + 1) * p.interval
		i.now = processor.Timestamp(t)
		ran = true
		if err := i.tolerate(RowFailure{Time: t}, func() error { return p.run(processor.Timestamp(t)) }); err != nil {
			return ran, err
		}
	}
	return ran, nil
}

// NextWall returns the earliest due time of a wall-clock punctuation.
func (i *Instance) NextWall() (due time.Time, ok bool) {
	for _, p := range i.schedules {
		if p.clock == processor.WallClock && (!ok || p.due < due.UnixMilli()) {
			due, ok = time.UnixMilli(p.due), true
		}
	}
	return due, ok
}
