package statetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tidemill/tidemill/state"
)

// RunDurable crashes the engines that open returns. open must open what is in
// the file system, or create it. The short form takes 200 seeds; with
// TIDEMILL_LONG=1 in the environment it is 5,000.
func RunDurable(t *testing.T, open func(fs vfs.FS) (state.Engine, error)) {
	seeds := 200
	if os.Getenv("TIDEMILL_LONG") != "" {
		seeds = 5000
	}
	var sum crashStats
	for seed := range uint64(seeds) {
		stats, err := crashRun(seed, open)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		sum.add(stats)
	}
	t.Logf("%d crashes, %d of them in the middle of I/O: of %d batches %d survived, %d had to",
		sum.crashes, sum.inIO, sum.applied, sum.survived, sum.flushed)
	if sum.survived <= sum.flushed/2 || sum.survived == sum.applied || sum.inIO == 0 {
		t.Errorf("the crashes prove nothing: %+v", sum)
	}
}

type crashStats struct{ crashes, inIO, applied, survived, flushed int }

func (s *crashStats) add(o crashStats) {
	s.crashes += o.crashes
	s.inIO += o.inIO
	s.applied += o.applied
	s.survived += o.survived
	s.flushed += o.flushed
}

// counterKey holds the number of the last batch, and is in every batch.
var counterKey = []byte("\x00counter")

// crashRun writes, loses power, opens and checks, three times over on the same
// disk, so that stores recovered once are crashed again.
func crashRun(seed uint64, open func(fs vfs.FS) (state.Engine, error)) (sum crashStats, err error) {
	disk := vfs.NewCrashableMem()
	known, number := model{}, uint64(0)
	for round := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, round))
		run := crashable{disk: disk, rng: rng, history: []model{known}, base: number}
		if err := run.write(open); err != nil {
			return sum, fmt.Errorf("round %d: %w", round, err)
		}
		disk = run.crashed
		known, number, err = run.check(open)
		if err != nil {
			return sum, fmt.Errorf("round %d: %w", round, err)
		}
		sum.add(crashStats{1, run.inIO, run.at.applied, int(number - run.base), run.at.flushed})
	}
	return sum, nil
}

// crashable is one life of a store, up to its crash.
type crashable struct {
	disk    *vfs.MemFS
	rng     *rand.Rand
	history []model // history[i] is the state after i batches of this life
	base    uint64  // number of the last batch before this life
	inIO    int

	crashed *vfs.MemFS // the disk as the crash left it
	at      progress   // when it was taken
	now     struct {
		sync.Mutex
		progress
		countdown int // I/O operations until the crash
	}
}

// progress counts batches of this life. At any time flushed <= survivors <=
// applied, where applied counts a batch from before its Apply call.
type progress struct{ applied, flushed int }

// write applies random batches, flushes sometimes, and crashes: within an I/O
// operation if the countdown ends in time, else after the last batch.
func (c *crashable) write(open func(fs vfs.FS) (state.Engine, error)) error {
	c.now.countdown = c.rng.IntN(300)
	unsynced := c.rng.IntN(101)
	cloneRNG := rand.New(rand.NewPCG(c.rng.Uint64(), 2))
	clone := func() {
		c.at = c.now.progress
		c.crashed = c.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: cloneRNG})
	}
	watched := errorfs.Wrap(c.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		c.now.Lock()
		defer c.now.Unlock()
		if c.now.countdown--; c.now.countdown == 0 && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			c.inIO = 1
			clone()
		}
		return nil
	}))
	e, err := open(watched)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := c.applyAll(e); err != nil {
		return errors.Join(err, e.Close())
	}
	c.now.Lock()
	if c.crashed == nil {
		clone()
	}
	c.now.Unlock()
	return e.Close()
}

func (c *crashable) applyAll(e state.Engine) error {
	rows := maps.Clone(c.history[0])
	for range c.rng.IntN(60) {
		c.now.Lock()
		c.now.applied++
		n := c.now.applied
		c.now.Unlock()
		if err := apply(e, func(b state.Batch) error { return c.fill(b, rows, c.base+uint64(n)) }); err != nil {
			return err
		}
		c.history = append(c.history, maps.Clone(rows))
		if c.rng.IntN(10) != 0 {
			continue
		}
		if err := e.Flush(); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
		c.now.Lock()
		c.now.flushed = n
		c.now.Unlock()
	}
	return nil
}

// fill writes random rows, at times many, and the batch's number.
func (c *crashable) fill(b state.Batch, rows model, number uint64) error {
	if err := randomBatch(c.rng, b, rows); err != nil {
		return err
	}
	if c.rng.IntN(8) == 0 { // fills memtables, so that they are flushed unasked
		for i := range 8 {
			key, value := fmt.Sprintf("large%d", i), string(make([]byte, 4<<10+c.rng.IntN(4<<10)))
			rows[key] = value
			if err := b.Set([]byte(key), []byte(value)); err != nil {
				return err
			}
		}
	}
	counter := binary.BigEndian.AppendUint64(nil, number)
	rows[string(counterKey)] = string(counter)
	return b.Set(counterKey, counter)
}

// check opens what the crash left: it must be the state after some batch.
func (c *crashable) check(open func(fs vfs.FS) (state.Engine, error)) (model, uint64, error) {
	e, err := open(c.crashed)
	if err != nil {
		return nil, 0, fmt.Errorf("open after the crash: %w", err)
	}
	survivors, number, err := c.compare(e)
	return survivors, number, errors.Join(err, e.Close())
}

func (c *crashable) compare(e state.Engine) (model, uint64, error) {
	value, ok, err := e.Get(nil, counterKey)
	if err != nil {
		return nil, 0, fmt.Errorf("after the crash: %w", err)
	}
	number := uint64(0)
	if ok {
		number = binary.BigEndian.Uint64(value)
	}
	low, high := c.base+uint64(c.at.flushed), c.base+uint64(c.at.applied)
	if number < low || number > high {
		return nil, 0, fmt.Errorf("batch %d is the last one after the crash, want %d (flushed) to %d (applied)", number, low, high)
	}
	want := c.history[number-c.base]
	if err := wantWalk(e, nil, nil, false, want.walk(nil, nil, false)...); err != nil {
		return nil, 0, fmt.Errorf("not the state after batch %d: %w", number, err)
	}
	return want, number, nil
}
