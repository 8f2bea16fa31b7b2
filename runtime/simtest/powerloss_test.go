package simtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/topology"
)

// run is one seed: a source, and a disk that outlives several nodes.
type run struct {
	rng     *rand.Rand
	top     *topology.Topology
	windows topology.Emission
	source  []sent
	disk    *vfs.MemFS
	acked   int64
	faults  faults
	verdict
}

func newRun(seed uint64, records int, f faults) (*run, error) {
	r := &run{rng: rand.New(rand.NewPCG(seed, 7)), disk: vfs.NewCrashableMem(), faults: f, windows: topology.OnUpdate}
	if seed%2 == 1 {
		r.windows = topology.OnClose
	}
	r.source = newSource(r.rng, records/2+r.rng.IntN(records))
	var err error
	r.top, err = build(r.windows)
	return r, err
}

// powerLoss runs one seed step by step: some lives that end with a crash, one
// that is left to finish, and the check.
func powerLoss(seed uint64, f faults) (verdict, error) {
	r, err := newRun(seed, 160, f)
	if err != nil {
		return r.verdict, err
	}
	for life := range 2 + r.rng.IntN(3) {
		if err := r.life(); err != nil {
			return r.verdict, fmt.Errorf("life %d: %w", life, err)
		}
	}
	err = r.finish()
	return r.verdict, err
}

func (r *run) options() nodeOptions {
	return nodeOptions{
		workers: 1 + r.rng.IntN(2), cacheBytes: []int{1, 1 << 20}[r.rng.IntN(2)], journal: 4<<10 + r.rng.Int64N(60<<10),
		flushEvery: time.Duration(10+r.rng.IntN(200)) * time.Millisecond,
	}
}

// life runs a node until its power fails.
func (r *run) life() error {
	p := newPower(r.disk, r.rng, 600)
	p.acked.Store(r.acked)
	n, err := openNode(errorfs.Wrap(r.faults.wrapFS(r.disk), p), r.top, r.options(), r.faults)
	switch {
	case err != nil:
	case p.failed.Load():
		r.starting++
		err = n.kill()
	default:
		r.faults.syncs(false)
		err = r.drive(n, p)
		r.count(p)
		err = errors.Join(err, n.kill())
		r.faults.syncs(true)
	}
	p.fail() // if none of the writes was the one
	r.rebuilt += n.rebuilt
	r.disk, r.acked = p.clone, p.ackedThen
	return err
}

// count tells a power failure in the middle of work from one behind all of it.
func (r *run) count(p *power) {
	if p.failed.Load() {
		r.running++
	} else {
		r.idle++
		p.fail()
	}
}

// drive lets things happen in random order until the power fails.
func (r *run) drive(n *node, p *power) error {
	producer, err := r.producer(n.app, p)
	if err != nil {
		return err
	}
	defer producer.Close()
	for range 20 + r.rng.IntN(80) {
		if p.failed.Load() {
			return nil
		}
		if err := r.act(n, producer, p); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) act(n *node, producer *runtime.Producer[string, int64], p *power) error {
	w := n.workers[r.rng.IntN(len(n.workers))]
	switch k := r.rng.IntN(20); {
	case k < 6:
		return r.send(producer, p, 1+r.rng.IntN(12))
	case k < 16:
		n.now = n.now.Add(time.Duration(r.rng.IntN(15)) * time.Millisecond)
		_, err := w.Turn(ctx, 0)
		return err
	case k < 19:
		return w.Commit(ctx)
	}
	for _, e := range n.engines {
		return e.Flush()
	}
	return nil
}

// producer resumes the import. That its position is behind what was acknowledged
// is a loss, whatever is sent again.
func (r *run) producer(app *runtime.App, p *power) (*runtime.Producer[string, int64], error) {
	producer, err := runtime.NewProducer(ctx, app, numbers, "import")
	if err != nil {
		return nil, err
	}
	at := producer.Position()
	if p.failed.Load() {
		return producer, nil // this is about the dying node
	}
	if at.Offset < r.acked {
		r.lost += int(r.acked - at.Offset)
		r.note("the import stands at %d, %d were acknowledged", at.Offset, r.acked)
	}
	if want := fmt.Sprint("row ", at.Offset); at.Offset > 0 && at.Metadata != want {
		r.wrong++
		r.note("the metadata of position %d is %q", at.Offset, at.Metadata)
	}
	p.acked.Store(at.Offset)
	return producer, nil
}

// send imports the next records of the source.
func (r *run) send(producer *runtime.Producer[string, int64], p *power, count int) error {
	from := int(producer.Position().Offset)
	to := min(from+count, len(r.source))
	for i := from; i < to; i++ {
		if err := producer.SendAt(r.source[i].key, int64(i), time.UnixMilli(r.source[i].time)); err != nil {
			return err
		}
	}
	if from == to {
		return nil
	}
	if err := producer.Commit(ctx, runtime.SourcePosition{Offset: int64(to), Metadata: fmt.Sprint("row ", to)}); err != nil {
		return err
	}
	p.acked.Store(int64(to))
	return nil
}

// finish imports the rest, processes everything and checks.
func (r *run) finish() (err error) {
	n, err := openNode(r.faults.wrapFS(r.disk), r.top, r.options(), r.faults)
	if err != nil {
		return fmt.Errorf("open after the last crash: %w", err)
	}
	defer func() { err = errors.Join(err, n.kill()) }()
	r.rebuilt += n.rebuilt
	p := &power{}
	producer, err := r.producer(n.app, p)
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := r.send(producer, p, len(r.source)); err != nil {
		return err
	}
	r.verdict.acked = len(r.source)
	if err := n.drain(); err != nil {
		return err
	}
	return check(backend{n.app, n}, r.source, r.windows, &r.verdict)
}

// seedsToRun are those of the environment, or so many.
func seedsToRun(t *testing.T, short int) (from, to uint64) {
	if text := os.Getenv("TIDEMILL_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("TIDEMILL_SEED=%q is not a whole number", text)
		}
		return seed, seed + 1
	}
	if os.Getenv("TIDEMILL_LONG") != "" {
		short *= 10
	}
	return 0, uint64(short)
}

// each runs several seeds at a time.
func each(from, to uint64, one func(seed uint64)) {
	var wg sync.WaitGroup
	seeds := make(chan uint64)
	for range 4 { // some wait for the disk in memory while others compute
		wg.Go(func() {
			for seed := range seeds {
				one(seed)
			}
		})
	}
	for seed := from; seed < to; seed++ {
		seeds <- seed
	}
	close(seeds)
	wg.Wait()
}

func TestPowerLoss(t *testing.T) { testPowerLoss(t, 1000, powerLoss) }

func testPowerLoss(t *testing.T, short int, one func(uint64, faults) (verdict, error)) {
	from, to := seedsToRun(t, short)
	var total verdict
	var mu sync.Mutex
	each(from, to, func(seed uint64) {
		v, err := one(seed, faults{})
		mu.Lock()
		defer mu.Unlock()
		total.add(v)
		if err != nil {
			t.Errorf("TIDEMILL_SEED=%d: %v", seed, err)
		}
		if v.bad() {
			t.Errorf("%s\n%s", v.line(seed), strings.Join(v.notes, "\n"))
		}
	})
	t.Log(total.line(fmt.Sprintf("%d..%d", from, to-1)))
}
