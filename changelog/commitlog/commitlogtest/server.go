package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func serverCases() []Case {
	restart := []Feature{FeatureServerRestart}
	return slices.Concat([]Case{
		{Name: "server/restart in a transaction", Needs: restart, Why: "a broker that dies during a commit must not tear it", run: restartInTransaction},
		{Name: "server/redo over restarts", Needs: restart, Why: "exactly-once has to survive the broker's crashes", run: redoOverRestarts},
	}, serverTransactionCases())
}

// redo commits numbered transactions over two partitions and the offsets of a
// group, by the rule of the contract: after an unknown outcome take a new epoch,
// look how far the group has come, and do the transaction again if it is not in.
type redo struct {
	e       *env
	w       commitlog.Writer
	unknown int // outcomes
}

const redoGroup = "redo"

func (r *redo) transaction(n int64) error {
	for {
		err := r.attempt(n)
		if err == nil {
			return nil
		}
		if hanging := new(commitlog.HangingTransactionError); errors.As(err, &hanging) && r.e.harness.Mend != nil {
			if err := first(r.w.Abort, func() error { return r.e.harness.Mend(r.e.ctx, r.e.log) }); err != nil {
				return fmt.Errorf("transaction %d, repair: %w", n, err)
			}
			continue
		}
		if !errors.Is(err, commitlog.ErrUnknownOutcome) {
			return fmt.Errorf("transaction %d: %w", n, err)
		}
		r.unknown++
		if r.w, err = r.e.writer("redo"); err != nil {
			return fmt.Errorf("transaction %d, after an unknown outcome: %w", n, err)
		}
		reached, err := r.reached()
		if err != nil {
			return fmt.Errorf("transaction %d, after an unknown outcome: %w", n, err)
		}
		switch reached {
		case n + 1:
			return nil
		case n:
		default:
			return fmt.Errorf("transaction %d: the group stands at %d", n, reached)
		}
	}
}

func (r *redo) attempt(n int64) error {
	value := fmt.Sprint(n)
	if err := first(r.w.Begin,
		func() error { return r.w.Append(tp("a", 0), builder(value)) },
		func() error { return r.w.Append(tp("a", 1), builder(value)) },
		func() error {
			return r.w.Offsets(redoGroup, commitlog.Membership{}, map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", 0): {Offset: n + 1}})
		},
	); err != nil {
		return err
	}
	_, err := r.w.Commit(r.e.ctx)
	return err
}

func (r *redo) reached() (int64, error) {
	var offsets map[commitlog.TopicPartition]commitlog.GroupOffset
	err := r.e.mended(func() (err error) { offsets, err = r.e.log.GroupOffsets(r.e.ctx, redoGroup); return err })
	return offsets[tp("a", 0)].Offset, err
}

// mended runs a question to the log, after repairing what a killed server can
// leave behind, if the log has such a thing.
func (e *env) mended(ask func() error) error {
	err := ask()
	var hanging *commitlog.HangingTransactionError
	if e.harness.Mend == nil || !errors.As(err, &hanging) {
		return err
	}
	if mendErr := e.harness.Mend(e.ctx, e.log); mendErr != nil {
		return fmt.Errorf("repair: %w (%w)", mendErr, err)
	}
	return ask()
}

// finalValues demands that both partitions hold 0 to n-1, each once and in order.
func (r *redo) finalValues(n int64) error {
	reached, err := r.reached()
	if err != nil || reached != n {
		return fmt.Errorf("the group stands at %d after %d transactions: %w", reached, n, err)
	}
	both := []commitlog.TopicPartition{tp("a", 0), tp("a", 1)}
	if err := r.e.mended(func() error { _, err := r.e.log.Settled(r.e.ctx, both); return err }); err != nil {
		return fmt.Errorf("settled: %w", err)
	}
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	for _, at := range both {
		got, err := r.e.values(at)
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s: %s", at, difference(got, want))
		}
	}
	return nil
}

// difference says what is lost and what is there too often.
func difference(got, want []string) string {
	count := map[string]int{}
	for _, v := range got {
		count[v]++
	}
	var lost, repeated []string
	for _, v := range want {
		if count[v] == 0 {
			lost = append(lost, v)
		}
		if count[v] > 1 {
			repeated = append(repeated, v)
		}
		delete(count, v)
	}
	return fmt.Sprintf("%d values, want %d; lost %v, repeated %v, unexpected %v (in order: %v)",
		len(got), len(want), lost, repeated, len(count), slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) }))
}

// restartInTransaction kills the server at several moments around one commit.
func restartInTransaction(e *env) error {
	w, err := e.topic("a", 2, "redo")
	if err != nil {
		return err
	}
	r := &redo{e: e, w: w}
	if err := r.transaction(0); err != nil {
		return err
	}
	moments := []time.Duration{0, time.Millisecond, 4 * time.Millisecond}
	for i, after := range moments {
		restarted := make(chan error, 1)
		go func() {
			time.Sleep(after)
			restarted <- e.harness.RestartServer(e.ctx)
		}()
		err := r.transaction(int64(i) + 1)
		if err := errors.Join(err, <-restarted); err != nil {
			return fmt.Errorf("restart %v after the beginning: %w", after, err)
		}
	}
	return r.finalValues(int64(len(moments)) + 1)
}

// redoOverRestarts commits without a pause while the server is killed.
func redoOverRestarts(e *env) error {
	const restarts = 3
	w, err := e.topic("a", 2, "redo")
	if err != nil {
		return err
	}
	r := &redo{e: e, w: w}
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		for range restarts {
			time.Sleep(300 * time.Millisecond)
			if err = e.harness.RestartServer(ctx); err != nil {
				break
			}
		}
		done <- err
	}()
	for n := int64(0); ; n++ {
		if err := r.transaction(n); err != nil {
			cancel()
			return errors.Join(err, <-done)
		}
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("restart the server: %w", err)
			}
			return r.finalValues(n + 1)
		default:
		}
	}
}
