package topology

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
)

// hasher makes the hash of a left row's value.
type hasher[L any] struct {
	n      *node
	values serde.Serde[L]
	buf    []byte
}

func (h *hasher[L]) hash(v processor.Opt[L]) (sum rowHash, err error) {
	if !v.OK {
		return sum, nil
	}
	if h.buf, err = h.values.Append(h.buf[:0], v.Value); err != nil {
		return sum, &NodeError{Node: h.n.name, Class: ClassEncode, Err: fmt.Errorf("value does not encode as %s: %w", h.values.Name(), err)}
	}
	full := sha256.Sum256(h.buf)
	copy(sum[:], full[:])
	return sum, nil
}

// asker turns updates of left rows into subscriptions.
type asker[K, L, F any] struct {
	n              *node
	inst           *Instance
	foreign        func(K, L) processor.Opt[F]
	outer          bool
	foreignKey     serde.Serde[F]
	hasher         hasher[L]
	next           emit[processor.Opt[F], subscription[K]]
	oldKey, newKey []byte
}

// update sends what the change of a row asks for: the old reference is given up
// first, then the new one taken.
func (a *asker[K, L, F]) update(r processor.Record[K, change[L]]) error {
	a.inst.at = a.n
	before, after := r.Value.Old, r.Value.New
	if !before.OK && !after.OK {
		return nil
	}
	from, to := a.refersTo(r.Key, before), a.refersTo(r.Key, after)
	changed, err := a.differ(from, to)
	if err != nil {
		return err
	}
	hash, err := a.hasher.hash(after)
	if err != nil {
		return err
	}
	send := func(to processor.Opt[F], i instruction) error {
		return a.next(processor.WithKey(r, to, subscription[K]{instruction: i, hash: hash, key: r.Key}))
	}
	if from.OK && changed {
		giveUp := unsubscribe
		if !a.outer && !to.OK {
			giveUp = unsubscribeAndAnswer
		}
		if err := send(from, giveUp); err != nil {
			return err
		}
	}
	switch {
	case a.outer:
		return send(to, answerAlways) // absent if the row is gone or refers to nothing
	case !to.OK:
		return nil
	case from.OK && changed:
		return send(to, answerAlways) // the result of the old reference has to go
	}
	return send(to, answerIfMatched)
}

func (a *asker[K, L, F]) refersTo(k K, v processor.Opt[L]) processor.Opt[F] {
	if !v.OK {
		return processor.None[F]()
	}
	return a.foreign(k, v.Value)
}

// differ compares references by their bytes: foreign keys need not be comparable.
func (a *asker[K, L, F]) differ(from, to processor.Opt[F]) (differ bool, err error) {
	if !from.OK || !to.OK {
		return from.OK != to.OK, nil
	}
	if a.oldKey, err = a.foreignKey.Append(a.oldKey[:0], from.Value); err == nil {
		a.newKey, err = a.foreignKey.Append(a.newKey[:0], to.Value)
	}
	if err != nil {
		return false, &NodeError{Node: a.n.name, Class: ClassEncode,
			Err: fmt.Errorf("foreign key does not encode as %s: %w", a.foreignKey.Name(), err)}
	}
	return !bytes.Equal(a.oldKey, a.newKey), nil
}

// wireAnswers builds the node that joins the left row with what was answered.
func wireAnswers[K, L, R, V any](w *wirer, n *node, facts streamFacts, left *Table[K, L], outer bool,
	join func(L, processor.Opt[R]) processor.Opt[V]) any {
	next, inst := below[K, change[V]](w, n), w.instance
	read := left.rows(w, n, facts)
	h := hasher[L]{n: n, values: left.values}
	return emit[K, answer[R]](func(r processor.Record[K, answer[R]]) error {
		row, err := read(r.Key)
		if err != nil {
			return err
		}
		now, err := h.hash(row.value)
		if err != nil || now != r.Value.hash {
			return err // the answer to the row as it is now comes later, or came before
		}
		inst.at = n
		var c change[V]
		if row.value.OK && (outer || r.Value.right.OK) {
			c.New = join(row.value.Value, r.Value.right)
		}
		return next(processor.WithKey(r, r.Key, c))
	})
}
