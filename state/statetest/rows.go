package statetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/state"
)

// rowChecks are the rules of single rows and of batches.
func rowChecks() []check {
	return []check{
		{"get-set-delete", "the least a store does", checkGetSetDelete},
		{"get appends to dst", "callers reuse buffers; an overwritten prefix corrupts a composed key", checkAppends},
		{"empty value is a row", "a null and an empty value are different records", checkEmptyValue},
		{"any byte in a key", "window starts and lengths are binary", checkBinaryKeys},
		{"empty key", "the durable engine's file format cannot hold it", checkEmptyKey},
		{"batch copies", "the task reuses its encode buffer for every row", checkCopies},
		{"get returns a copy", "a value must survive the next commit", checkGetCopy},
		{"later write wins", "a row may be deleted and written again within one commit", checkLaterWins},
		{"delete range", "windows expire by range", checkDeleteRange},
		{"batch is atomic", "state and its changelog position change together", checkAtomic},
		{"batch life cycle", "a batch applied twice would count twice", checkBatchLife},
		{"large values", "aggregates can be lists", checkLargeValues},
		{"use after close", "queries race with the end of a task", checkUseAfterClose},
	}
}

func checkGetSetDelete(e state.Engine) error {
	return first(
		wantNone(e, "a"),
		set(e, "a", "1", "b", "2"),
		wantRow(e, "a", "1"), wantRow(e, "b", "2"), wantNone(e, "c"), wantNone(e, ""),
		set(e, "a", "3"),
		wantRow(e, "a", "3"),
		apply(e, func(b state.Batch) error { return errors.Join(b.Delete([]byte("a")), b.Delete([]byte("absent"))) }),
		wantNone(e, "a"), wantRow(e, "b", "2"),
		e.Flush(),
		wantNone(e, "a"), wantRow(e, "b", "2"),
	)
}

func checkAppends(e state.Engine) error {
	if err := set(e, "k", "value"); err != nil {
		return err
	}
	got, ok, err := e.Get([]byte("dst-"), []byte("k"))
	if err != nil || !ok || string(got) != "dst-value" {
		return fmt.Errorf("get appended to %q gives %q, %v, %v", "dst-", got, ok, err)
	}
	return nil
}

func checkEmptyValue(e state.Engine) error {
	return first(
		set(e, "empty", ""),
		wantRow(e, "empty", ""), wantNone(e, "missing"),
		wantWalk(e, nil, nil, false, "empty", ""),
		e.Flush(),
		wantRow(e, "empty", ""),
	)
}

func checkBinaryKeys(e state.Engine) error {
	sorted := []string{"\x00", "\x00\x00", "\x00\xff", "a", "a\x00", "a\x00\x00", "a\xff", "b", "\xff", "\xff\x00", "\xff\xff"}
	var pairs, backwards []string
	for _, key := range sorted {
		pairs = append(pairs, key, "v"+key)
		backwards = append([]string{key, "v" + key}, backwards...)
	}
	for i := len(pairs) - 2; i >= 0; i -= 2 {
		if err := set(e, pairs[i:i+2]...); err != nil {
			return err
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		if err := wantRow(e, pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return first(wantWalk(e, nil, nil, false, pairs...), wantWalk(e, nil, nil, true, backwards...))
}

func checkEmptyKey(e state.Engine) error {
	b := e.NewBatch()
	if b.Set(nil, []byte("v")) == nil || b.Set([]byte{}, []byte("v")) == nil || b.Delete(nil) == nil {
		return errors.New("an empty key was accepted")
	}
	return first(
		b.Set([]byte{0}, []byte("v")), b.DeleteRange(nil, []byte{1}), b.Set([]byte("a"), []byte("1")),
		e.Apply(b),
		e.Flush(),
		wantWalk(e, nil, nil, false, "a", "1"), wantNone(e, ""),
	)
}

func checkCopies(e state.Engine) error {
	err := apply(e, func(b state.Batch) error {
		key, value := []byte("k1"), []byte("v1")
		if err := b.Set(key, value); err != nil {
			return err
		}
		copy(key, "k2")
		copy(value, "v2")
		if err := b.Set(key, value); err != nil {
			return err
		}
		copy(key, "zz")
		copy(value, "zz")
		return nil
	})
	return first(err, wantWalk(e, nil, nil, false, "k1", "v1", "k2", "v2"))
}

func checkGetCopy(e state.Engine) error {
	if err := set(e, "k", "old"); err != nil {
		return err
	}
	got, _, err := e.Get(nil, []byte("k"))
	if err = first(err, set(e, "k", "new"), e.Flush()); err != nil {
		return err
	}
	if string(got) != "old" {
		return fmt.Errorf("a value read before changed to %q", got)
	}
	copy(got, "XXX")
	return wantRow(e, "k", "new")
}

func checkLaterWins(e state.Engine) error {
	a, b2, c, d := []byte("a"), []byte("b"), []byte("c"), []byte("d")
	return first(
		set(e, "b", "before", "c", "before"),
		apply(e, func(b state.Batch) error {
			return errors.Join(
				b.Set(a, []byte("1")), b.Set(a, []byte("2")), // set, set
				b.Delete(b2), b.Set(b2, []byte("again")), // delete, set
				b.Set(c, []byte("x")), b.Delete(c), // set, delete
				b.Set(d, []byte("x")), b.Set([]byte("dd"), []byte("x")), b.DeleteRange(d, []byte("e")), b.Set(d, []byte("after")))
		}),
		wantWalk(e, nil, nil, false, "a", "2", "b", "again", "d", "after"),
		e.Flush(),
		wantWalk(e, nil, nil, false, "a", "2", "b", "again", "d", "after"),
	)
}

func checkDeleteRange(e state.Engine) error {
	remove := func(lower, upper string) error {
		return apply(e, func(b state.Batch) error { return b.DeleteRange([]byte(lower), []byte(upper)) })
	}
	openEnd := apply(e, func(b state.Batch) error { return b.DeleteRange([]byte("a"), nil) })
	if openEnd == nil {
		return errors.New("DeleteRange without an upper bound was not refused")
	}
	return first(
		set(e, "a", "1", "b", "2", "c", "3", "d", "4", "e", "5"),
		remove("b", "d"),
		wantWalk(e, nil, nil, false, "a", "1", "d", "4", "e", "5"),
		remove("d", "d"), remove("e", "a"), // empty and inverted
		wantWalk(e, nil, nil, false, "a", "1", "d", "4", "e", "5"),
		e.Flush(),
		wantNone(e, "b"), wantNone(e, "c"), wantRow(e, "d", "4"),
		set(e, "c", "new"),
		wantWalk(e, nil, nil, true, "e", "5", "d", "4", "c", "new", "a", "1"),
	)
}

func checkAtomic(e state.Engine) error {
	if err := set(e, "a", "1"); err != nil {
		return err
	}
	b := e.NewBatch()
	err := errors.Join(b.Set([]byte("a"), []byte("2")), b.Set([]byte("b"), []byte("2")))
	if err = first(err, wantRow(e, "a", "1"), wantNone(e, "b")); err != nil {
		return fmt.Errorf("before apply: %w", err)
	}
	if b.Size() < 4 {
		return fmt.Errorf("size of a batch with 4 bytes of rows is %d", b.Size())
	}
	return first(e.Apply(b), wantRow(e, "a", "2"), wantRow(e, "b", "2"))
}

func checkBatchLife(e state.Engine) error {
	dropped := e.NewBatch()
	if err := first(dropped.Set([]byte("dropped"), nil), dropped.Close(), dropped.Close()); err != nil {
		return fmt.Errorf("close of a batch that was not applied: %w", err)
	}
	b := e.NewBatch()
	if err := first(b.Set([]byte("a"), []byte("1")), e.Apply(b)); err != nil {
		return err
	}
	if e.Apply(b) == nil {
		return errors.New("a batch was applied twice")
	}
	if b.Set([]byte("b"), nil) == nil {
		return errors.New("an applied batch took another row")
	}
	return first(b.Close(), e.Apply(e.NewBatch()), wantWalk(e, nil, nil, false, "a", "1"))
}

func checkLargeValues(e state.Engine) error {
	large := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	for i := range 4 {
		if err := set(e, fmt.Sprint("k", i), large, "small", "s"); err != nil {
			return err
		}
	}
	key := string(bytes.Repeat([]byte("k"), 32<<10))
	return first(
		set(e, key, "long key"),
		wantRow(e, "k2", large), e.Flush(), wantRow(e, "k3", large), wantRow(e, "small", "s"),
		wantRow(e, key, "long key"),
		wantWalk(e, []byte("k0"), []byte("k2"), true, "k1", large, "k0", large),
	)
}

func checkUseAfterClose(e state.Engine) error {
	if err := set(e, "a", "1", "b", "2"); err != nil {
		return err
	}
	b := e.NewBatch()
	it, err := e.Iter(nil, nil, false)
	snap, snapErr := e.Snapshot()
	if err = first(b.Set([]byte("c"), nil), err, snapErr); err != nil {
		return err
	}
	if !it.Next() {
		return fmt.Errorf("no first row: %v", it.Err())
	}
	if err := e.Close(); err != nil {
		return err
	}
	calls := map[string]error{"apply": e.Apply(b), "flush": e.Flush(), "close": e.Close()}
	_, _, calls["get"] = e.Get(nil, []byte("a"))
	_, calls["iter"] = e.Iter(nil, nil, false)
	_, calls["snapshot"] = e.Snapshot()
	_, _, calls["snapshot get"] = snap.Get(nil, []byte("a"))
	_, calls["snapshot iter"] = snap.Iter(nil, nil, false)
	if it.Next() {
		return errors.New("an iterator went on after Close of the engine")
	}
	calls["iterator"] = it.Err()
	for call, err := range calls {
		if !errors.Is(err, state.ErrEngineClosed) {
			return fmt.Errorf("%s after Close returned %v, want ErrEngineClosed", call, err)
		}
	}
	return first(it.Close(), snap.Close())
}
