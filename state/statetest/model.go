package statetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/tidemill/tidemill/state"
)

// model is the oracle: a map, sorted when it is walked.
type model map[string]string

// walk returns key, value, ... between bounds.
func (m model) walk(lower, upper []byte, reverse bool) (pairs []string) {
	keys := slices.Collect(maps.Keys(m))
	sort.Strings(keys)
	if reverse {
		slices.Reverse(keys)
	}
	for _, key := range keys {
		if key >= string(lower) && (upper == nil || key < string(upper)) {
			pairs = append(pairs, key, m[key])
		}
	}
	return pairs
}

// randomBatch writes to b and m alike. Keys are few, so that they collide.
func randomBatch(rng *rand.Rand, b state.Batch, m model) error {
	var errs []error
	for range 1 + rng.IntN(20) {
		key := randomKey(rng)
		switch rng.IntN(10) {
		case 0, 1:
			delete(m, string(key))
			errs = append(errs, b.Delete(key))
		case 2:
			upper := randomKey(rng)
			maps.DeleteFunc(m, func(k, _ string) bool { return k >= string(key) && k < string(upper) })
			errs = append(errs, b.DeleteRange(key, upper))
		default:
			value := bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(50))
			m[string(key)] = string(value)
			errs = append(errs, b.Set(key, value))
		}
	}
	return errors.Join(errs...)
}

func randomKey(rng *rand.Rand) []byte {
	const alphabet = "\x00\x01ab\xfe\xff"
	key := make([]byte, 1+rng.IntN(3))
	for i := range key {
		key[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return key
}

// compare checks a view against the model: single rows and random walks.
func compare(rng *rand.Rand, r state.Reader, m model) error {
	for range 5 {
		key := string(randomKey(rng))
		want, ok := m[key]
		check := func() error { return wantNone(r, key) }
		if ok {
			check = func() error { return wantRow(r, key, want) }
		}
		if err := check(); err != nil {
			return err
		}
	}
	lower, upper, reverse := randomKey(rng), randomKey(rng), rng.IntN(2) == 0
	if rng.IntN(3) == 0 {
		lower, upper = nil, nil
	}
	return wantWalk(r, lower, upper, reverse, m.walk(lower, upper, reverse)...)
}

func modelCheck() check {
	return check{"random operations", "rules that hold one by one may not hold together", func(e state.Engine) error {
		seed := rand.Uint64()
		if err := randomRun(e, rand.New(rand.NewPCG(seed, 1))); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
		return nil
	}}
}

type view struct {
	state.Snapshot
	rows model
}

// randomRun applies random batches and compares the engine and up to three
// snapshots of different ages with models.
func randomRun(e state.Engine, rng *rand.Rand) error {
	now := model{}
	var views []view
	for step := range 300 {
		err := apply(e, func(b state.Batch) error { return randomBatch(rng, b, now) })
		if err = first(err, compare(rng, e, now)); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		if len(views) == 3 {
			err, views = views[0].Close(), views[1:]
		}
		switch rng.IntN(20) {
		case 0:
			err = errors.Join(err, e.Flush())
		case 1, 2:
			s, snapErr := e.Snapshot()
			if err = errors.Join(err, snapErr); err == nil {
				views = append(views, view{s, maps.Clone(now)})
			}
		}
		for age, v := range views {
			if viewErr := compare(rng, v, v.rows); viewErr != nil {
				err = errors.Join(err, fmt.Errorf("snapshot %d: %w", age, viewErr))
			}
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	for _, v := range views {
		if err := v.Close(); err != nil {
			return err
		}
	}
	return nil
}
