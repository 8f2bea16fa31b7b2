package statetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tidemill/tidemill/state"
)

// viewChecks are the rules of snapshots and of concurrency.
func viewChecks() []check {
	return []check{
		{"snapshot isolation", "a query reads many rows and answers with one position", checkSnapshot},
		{"snapshot close", "a read after close must be an error, not a crash", checkSnapshotClose},
		{"concurrent readers", "queries read while the task commits", checkConcurrent},
		{"close races", "a task moves away while it is queried", checkCloseRaces},
	}
}

func checkSnapshot(e state.Engine) error {
	if err := set(e, "a", "1", "b", "2"); err != nil {
		return err
	}
	s, err := e.Snapshot()
	if err != nil {
		return err
	}
	err = first(
		set(e, "a", "new", "c", "new"),
		apply(e, func(b state.Batch) error { return b.DeleteRange([]byte("b"), []byte("c")) }),
		wantRow(s, "a", "1"), wantRow(s, "b", "2"), wantNone(s, "c"),
		e.Flush(),
		wantRow(s, "a", "1"), wantRow(s, "b", "2"), wantNone(s, "c"),
		wantWalk(s, nil, nil, false, "a", "1", "b", "2"),
		wantWalk(s, []byte("b"), nil, true, "b", "2"),
		wantWalk(e, nil, nil, false, "a", "new", "c", "new"),
	)
	return errors.Join(err, s.Close())
}

func checkSnapshotClose(e state.Engine) error {
	if err := set(e, "a", "1"); err != nil {
		return err
	}
	s, err := e.Snapshot()
	if err != nil {
		return err
	}
	it, err := s.Iter(nil, nil, false)
	if err = first(err, s.Close(), s.Close(), set(e, "a", "2"), e.Flush()); err != nil {
		return err
	}
	if _, _, err := s.Get(nil, []byte("a")); err == nil {
		return errors.New("get from a closed snapshot worked")
	}
	if _, err := s.Iter(nil, nil, false); err == nil {
		return errors.New("iterate over a closed snapshot worked")
	}
	return errors.Join(wantRest(it, "a", "1"), it.Close(), wantRow(e, "a", "2"))
}

// concurrentKeys all hold the same number in every committed state.
const concurrentKeys = 8

func setAll(e state.Engine, n uint64) error {
	return apply(e, func(b state.Batch) error {
		for k := range byte(concurrentKeys) {
			if err := b.Set([]byte{'k', k}, binary.BigEndian.AppendUint64(nil, n)); err != nil {
				return err
			}
		}
		return nil
	})
}

// readAll walks the keys and returns their common number.
func readAll(r state.Reader) (n uint64, err error) {
	it, err := r.Iter(nil, nil, false)
	if err != nil {
		return 0, err
	}
	rows := 0
	for ; it.Next(); rows++ {
		got := binary.BigEndian.Uint64(it.Value())
		if rows > 0 && got != n {
			err = fmt.Errorf("row %q is of batch %d, the rows before it of batch %d", it.Key(), got, n)
			break
		}
		n = got
	}
	if err = errors.Join(err, it.Err(), it.Close()); err == nil && rows != concurrentKeys {
		err = fmt.Errorf("%d of %d rows", rows, concurrentKeys)
	}
	return n, err
}

func checkConcurrent(e state.Engine) error {
	if err := setAll(e, 0); err != nil {
		return err
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	errs := make(chan error, 4)
	for i := range cap(errs) {
		readers.Go(func() {
			var last uint64
			for !stop.Load() {
				n, err := readView(e, i%2 == 0)
				if err == nil && n < last {
					err = fmt.Errorf("batch %d was seen after batch %d", n, last)
				}
				if last = n; err != nil {
					errs <- err
					return
				}
			}
		})
	}
	var err error
	for n := uint64(1); n <= 200 && err == nil; n++ {
		if err = setAll(e, n); err == nil && n%50 == 0 {
			err = e.Flush()
		}
	}
	stop.Store(true)
	readers.Wait()
	close(errs)
	for readErr := range errs {
		err = errors.Join(err, readErr)
	}
	return err
}

// readView reads all rows, by an iterator or by two looks into one snapshot.
func readView(e state.Engine, bySnapshot bool) (uint64, error) {
	if !bySnapshot {
		return readAll(e)
	}
	s, err := e.Snapshot()
	if err != nil {
		return 0, err
	}
	n, err := readAll(s)
	again, err2 := readAll(s)
	if err == nil && err2 == nil && again != n {
		err = fmt.Errorf("one snapshot showed batch %d and batch %d", n, again)
	}
	return n, errors.Join(err, err2, s.Close())
}

func checkCloseRaces(e state.Engine) error {
	if err := setAll(e, 1); err != nil {
		return err
	}
	var callers sync.WaitGroup
	errs := make(chan error, 6)
	started := make(chan struct{}, cap(errs))
	for i := range cap(errs) {
		callers.Go(func() {
			for n := 0; ; n++ {
				err := raceCall(e, i)
				if n == 0 {
					started <- struct{}{}
				}
				if err != nil {
					if !errors.Is(err, state.ErrEngineClosed) {
						errs <- fmt.Errorf("call %d beside Close: %w", i, err)
					}
					return
				}
			}
		})
	}
	for range cap(started) {
		<-started
	}
	err := e.Close()
	callers.Wait()
	close(errs)
	for callErr := range errs {
		err = errors.Join(err, callErr)
	}
	return err
}

func raceCall(e state.Engine, kind int) error {
	switch kind {
	case 0:
		_, _, err := e.Get(nil, []byte{'k', 1})
		return err
	case 1:
		_, err := readAll(e)
		return err
	case 2:
		_, err := readView(e, true)
		return err
	case 3:
		return setAll(e, 1)
	case 4:
		return e.Flush()
	}
	b := e.NewBatch()
	return first(b.Set([]byte("k"), nil), b.Close(), e.Apply(e.NewBatch()))
}
