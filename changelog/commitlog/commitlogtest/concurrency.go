package commitlogtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func concurrencyCases() []Case {
	return []Case{
		{Name: "concurrency/writers", Why: "all workers of a process share one log", run: concurrentWriters},
		{Name: "concurrency/fencing race", Why: "a take-over while the old holder commits: all of the commit, or nothing", run: fencingRace},
	}
}

// concurrentWriters has four writers commit and abort on shared partitions; then
// every partition must hold each writer's committed values in order.
func concurrentWriters(e *env) error {
	const writers, partitions, seed = 4, 3, 7
	if _, err := e.topic("a", partitions, "unused"); err != nil {
		return err
	}
	want := make([][partitions][]string, writers)
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			want[n], errs[n] = e.writeRandomly(n, rand.New(rand.NewPCG(seed, uint64(n))))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for p := range partitions {
		values, err := e.values(tp("a", int32(p)))
		if err != nil {
			return err
		}
		got := make([][]string, writers)
		for _, v := range values {
			n := int(v[0] - '0')
			got[n] = append(got[n], v)
		}
		for n := range writers {
			if g, w := strings.Join(got[n], " "), strings.Join(want[n][p], " "); g != w {
				return fmt.Errorf("partition %d, writer %d: %d values, want %d\n got %s\nwant %s", p, n, len(got[n]), len(want[n][p]), g, w)
			}
		}
	}
	return nil
}

func (e *env) writeRandomly(n int, rng *rand.Rand) (committed [3][]string, err error) {
	w, err := e.writer(fmt.Sprint("writer-", n))
	if err != nil {
		return committed, err
	}
	for i := range 60 {
		if err := w.Begin(); err != nil {
			return committed, err
		}
		var mine [3][]string
		for j := range 1 + rng.IntN(4) {
			p, value := rng.IntN(3), fmt.Sprintf("%d.%d.%d", n, i, j)
			if err := w.Append(tp("a", int32(p)), builder(value)); err != nil {
				return committed, err
			}
			mine[p] = append(mine[p], value)
		}
		if rng.IntN(4) == 0 {
			if err := w.Abort(); err != nil {
				return committed, err
			}
			continue
		}
		ranges, err := w.Commit(e.ctx)
		if err != nil {
			return committed, err
		}
		for p := range mine {
			r := ranges[tp("a", int32(p))]
			if int(r.Next-r.Base) < len(mine[p]) || len(mine[p]) == 0 && r != (commitlog.Range{}) {
				return committed, fmt.Errorf("writer %d got %v for %d records", n, r, len(mine[p]))
			}
			committed[p] = append(committed[p], mine[p]...)
		}
	}
	return committed, nil
}

func fencingRace(e *env) error {
	w, err := e.topic("a", 2, "w")
	if err != nil {
		return err
	}
	var want []string
	for i := range 50 {
		value := fmt.Sprint(i)
		if err := first(w.Begin,
			func() error { return w.Append(tp("a", 0), builder(value)) },
			func() error { return w.Append(tp("a", 1), builder(value)) },
		); err != nil {
			return err
		}
		committed := make(chan error, 1)
		go func() { _, err := w.Commit(e.ctx); committed <- err }()
		next, err := e.log.OpenWriter(e.ctx, "w")
		if err != nil {
			return err
		}
		// What is there after the take-over stays, and nothing comes to it.
		seen, err := e.values(tp("a", 0))
		if err != nil {
			return err
		}
		switch err := <-committed; {
		case err == nil:
			want = append(want, value)
		case errors.Is(err, commitlog.ErrUnknownOutcome) && !e.harness.offers(FeaturePromptFencing):
			// Unknown to the old holder; the new one sees what it was.
			if len(seen) > len(want) {
				want = append(want, value)
			}
		case !errors.Is(err, commitlog.ErrFenced):
			return fmt.Errorf("commit during a take-over gave %v, want success, ErrFenced or ErrUnknownOutcome", err)
		}
		if strings.Join(seen, " ") != strings.Join(want, " ") {
			return fmt.Errorf("right after the take-over %v, in the end %v", seen, want)
		}
		w = next
	}
	return first(func() error { return e.expect(tp("a", 0), want...) }, func() error { return e.expect(tp("a", 1), want...) })
}
