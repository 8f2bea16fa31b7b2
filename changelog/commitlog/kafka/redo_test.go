package kafka

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// redo runs numbered transactions over two partitions and the offsets of a group,
// by the rule of the contract, and remembers what must never be seen.
type redo struct {
	*bench
	topic   string
	group   string
	w       *Writer
	off     guards
	unknown int
	refused int
}

func newRedo(b *bench, off guards) *redo {
	b.Helper()
	r := &redo{bench: b, topic: b.topic("redo", 2), group: b.name + "group", off: off}
	r.take()
	return r
}

func (r *redo) take() {
	r.Helper()
	r.w = r.writer("w")
	r.w.off = r.off
}

// run commits transactions from first to end, and aborts one in five after its
// data has been sent.
func (r *redo) run(first, end int64) error {
	for n := first; n < end; n++ {
		if n%5 == 3 {
			if err := r.refuse(n); err != nil {
				return fmt.Errorf("transaction %d, to be refused: %w", n, err)
			}
		}
		if err := r.commit(n); err != nil {
			return fmt.Errorf("transaction %d: %w", n, err)
		}
	}
	return nil
}

func (r *redo) commit(n int64) error {
	for {
		err := r.attempt(fmt.Sprint(n), commitlog.Membership{}, n+1)
		if !errors.Is(err, commitlog.ErrUnknownOutcome) {
			return err
		}
		r.unknown++
		in, err := r.recover(n)
		if in || err != nil {
			return err
		}
	}
}

// recover settles, by a new epoch or by taking the identity anew, and looks
// whether transaction n is in.
func (r *redo) recover(n int64) (in bool, err error) {
	if r.unknown%2 == 0 {
		r.take()
	} else if err := r.w.Abort(); err != nil {
		return false, err
	}
	offsets, err := r.log.GroupOffsets(r.ctx, r.group)
	if err != nil && n == 0 { // the group may not be there yet
		return false, nil
	}
	switch reached := offsets[at(r.topic, 0)].Offset; reached {
	case n + 1:
		return true, err
	case n:
		return false, err
	default:
		return false, fmt.Errorf("the group stands at %d after %d transactions: %w", reached, n, err)
	}
}

// refuse sends a transaction whose offsets the group does not accept.
func (r *redo) refuse(n int64) error {
	err := r.attempt(fmt.Sprint("aborted ", n), commitlog.Membership{Member: "nobody", Generation: 5}, 1_000_000)
	r.refused++
	switch {
	case errors.Is(err, commitlog.ErrNotMember), errors.Is(err, commitlog.ErrStaleGeneration):
		err := r.w.Abort()
		if err != nil {
			r.take()
		}
		return nil
	case errors.Is(err, commitlog.ErrUnknownOutcome):
		in, err := r.recover(n)
		if in {
			return errors.New("a transaction of a stranger was committed")
		}
		return err
	}
	return fmt.Errorf("a stranger's transaction gave %w", err)
}

func (r *redo) attempt(value string, as commitlog.Membership, offset int64) error {
	err := errors.Join(r.w.Begin(), r.w.Append(at(r.topic, 0), records(value, value+"'")), r.w.Append(at(r.topic, 1), records(value)),
		r.w.Offsets(r.group, as, map[commitlog.TopicPartition]commitlog.GroupOffset{at(r.topic, 0): {Offset: offset}}))
	if err != nil {
		return err
	}
	_, err = r.w.Commit(r.ctx)
	return err
}

// check demands n transactions, each whole and once, and nothing else.
func (r *redo) check(n int64) error {
	r.Helper()
	var want [2][]string
	for i := range n {
		value := fmt.Sprint(i)
		want[0] = append(want[0], value, value+"'")
		want[1] = append(want[1], value)
	}
	for p := range want {
		if got := r.values(at(r.topic, int32(p))); !slices.Equal(got, want[p]) {
			i := 0
			for i < len(got) && i < len(want[p]) && got[i] == want[p][i] {
				i++
			}
			return fmt.Errorf("partition %d holds %d records, want %d; from record %d on: %q, want %q", p, len(got), len(want[p]), i, clip(got[i:]), clip(want[p][i:]))
		}
	}
	offsets, err := r.log.GroupOffsets(r.ctx, r.group)
	if err != nil || offsets[at(r.topic, 0)].Offset != n {
		return fmt.Errorf("the group stands at %v after %d transactions: %w", offsets, n, err)
	}
	return nil
}

func clip(s []string) []string { return s[:min(len(s), 6)] }

func (r *redo) runAndCheck(t *testing.T, n int64) {
	t.Helper()
	if err := r.run(0, n); err != nil {
		t.Fatal(err)
	}
	if err := r.check(n); err != nil {
		t.Fatal(err)
	}
}
