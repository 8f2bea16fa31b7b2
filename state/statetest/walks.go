package statetest

import (
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/state"
)

// walkChecks are the rules of iterators.
func walkChecks() []check {
	return []check{
		{"bounds", "a store's rows lie beside other stores' in one engine", checkBounds},
		{"reverse", "the newest window is asked for first", checkReverse},
		{"long walks", "iterators read ahead in blocks", checkLongWalk},
		{"iterator view", "rows written while a window closes must not show up in it", checkIteratorView},
		{"iterator row", "a row is read while it is current, without copies", checkIteratorRow},
	}
}

func checkBounds(e state.Engine) error {
	a, b, c, empty := []byte("a"), []byte("b"), []byte("c"), []byte{}
	return first(
		wantWalk(e, nil, nil, false), // no rows at all
		set(e, "a", "1", "b", "2", "c", "3"),
		wantWalk(e, nil, nil, false, "a", "1", "b", "2", "c", "3"),
		wantWalk(e, empty, nil, false, "a", "1", "b", "2", "c", "3"),
		wantWalk(e, b, nil, false, "b", "2", "c", "3"),
		wantWalk(e, nil, b, false, "a", "1"),
		wantWalk(e, a, c, false, "a", "1", "b", "2"),
		wantWalk(e, []byte("aa"), []byte("bb"), false, "b", "2"),
		wantWalk(e, b, b, false), wantWalk(e, c, a, false), // empty, inverted
		wantWalk(e, nil, empty, false), wantWalk(e, empty, empty, true), // nothing is below ""
		wantWalk(e, []byte("x"), nil, false), wantWalk(e, nil, []byte("A"), true),
	)
}

func checkReverse(e state.Engine) error {
	a, b, c := []byte("a"), []byte("b"), []byte("c")
	return first(
		set(e, "a", "1", "b", "2", "c", "3"),
		wantWalk(e, nil, nil, true, "c", "3", "b", "2", "a", "1"),
		wantWalk(e, b, nil, true, "c", "3", "b", "2"),
		wantWalk(e, a, c, true, "b", "2", "a", "1"),
		wantWalk(e, c, a, true),
		e.Flush(),
		wantWalk(e, a, c, true, "b", "2", "a", "1"),
	)
}

func checkLongWalk(e state.Engine) error {
	const n = 1000
	var forward, backward []string
	err := apply(e, func(b state.Batch) error {
		for i := range n {
			key := fmt.Sprintf("k%06d", i)
			forward = append(forward, key, fmt.Sprint(i))
			back := n - 1 - i
			backward = append(backward, fmt.Sprintf("k%06d", back), fmt.Sprint(back))
			if err := b.Set([]byte(key), []byte(fmt.Sprint(i))); err != nil {
				return err
			}
		}
		return nil
	})
	return first(err,
		wantWalk(e, nil, nil, false, forward...), wantWalk(e, nil, nil, true, backward...),
		e.Flush(),
		wantWalk(e, []byte("k000100"), []byte("k000900"), false, forward[200:1800]...),
		wantWalk(e, []byte("k000100"), []byte("k000900"), true, backward[200:1800]...),
	)
}

func checkIteratorView(e state.Engine) error {
	if err := set(e, "a", "1", "c", "3"); err != nil {
		return err
	}
	untouched, err := e.Iter(nil, nil, false)
	started, err2 := e.Iter(nil, nil, false)
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	if !started.Next() {
		return fmt.Errorf("no first row: %v", started.Err())
	}
	err = first(
		set(e, "b", "new", "c", "new", "d", "new"),
		apply(e, func(b state.Batch) error { return b.Delete([]byte("a")) }),
		e.Flush(),
		wantRest(untouched, "a", "1", "c", "3"),
		wantRest(started, "c", "3"),
		wantWalk(e, nil, nil, false, "b", "new", "c", "new", "d", "new"),
	)
	return errors.Join(err, untouched.Close(), started.Close())
}

func checkIteratorRow(e state.Engine) error {
	if err := set(e, "a", "1", "b", "2"); err != nil {
		return err
	}
	it, err := e.Iter(nil, nil, false)
	if err != nil {
		return err
	}
	if !it.Next() {
		return fmt.Errorf("no first row: %v", it.Err())
	}
	key, value := it.Key(), it.Value()
	err = first(set(e, "a", "x"), e.Flush())
	if string(key) != "a" || string(value) != "1" || string(it.Key()) != "a" || string(it.Value()) != "1" {
		err = errors.Join(err, fmt.Errorf("the current row changed to %q = %q by a later batch", key, value))
	}
	return errors.Join(err, wantRest(it, "b", "2"), it.Close(), it.Close())
}
