package topology

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
)

// subscriptionStore holds which left rows refer to a right row, under the keys
// 4 bytes length of the foreign key, foreign key, left key. The cells find single
// rows; all rows of a foreign key are those of the engine, corrected by what has
// changed since the last commit.
type subscriptionStore struct {
	state.Cells[rowHash]
	view   state.Reader
	id     uint16
	recent map[string]map[string]struct{} // left keys by foreign key, with its length
}

// Committed implements state.Instance.
func (s *subscriptionStore) Committed() {
	s.Cells.Committed()
	clear(s.recent)
}

// set writes, or deletes, one subscription.
func (s *subscriptionStore) set(foreign, left []byte, hash rowHash, time int64, keep bool) error {
	slot, err := s.slot(foreign, left)
	if err != nil {
		return err
	}
	if keep {
		slot.Store(hash, time)
	} else if _, _, there := slot.Load(); there {
		slot.Delete()
	}
	changed := s.recent[string(foreign)]
	if changed == nil {
		changed = map[string]struct{}{}
		s.recent[string(foreign)] = changed
	}
	changed[string(left)] = struct{}{}
	return nil
}

func (s *subscriptionStore) slot(foreign, left []byte) (state.Slot[rowHash], error) {
	key := append(foreign[:len(foreign):len(foreign)], left...)
	return s.Slot(0, key, state.HashKey(key))
}

// each visits the subscriptions to a foreign key in the order of the left keys.
func (s *subscriptionStore) each(foreign []byte, visit func(left []byte, hash rowHash) error) error {
	recent := slices.Sorted(maps.Keys(s.recent[string(foreign)]))
	visitRecent := func(left string) error {
		slot, err := s.slot(foreign, []byte(left))
		if err != nil {
			return err
		}
		hash, _, there := slot.Load()
		if !there {
			return nil
		}
		return visit([]byte(left), hash)
	}
	prefix := state.AppendRowKey(nil, s.id, state.KindKeyValue, 0, foreign)
	it, err := s.view.Iter(prefix, state.PrefixEnd(prefix), false)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.Next() {
		left := it.Key()[len(prefix):]
		for len(recent) > 0 && recent[0] < string(left) {
			if err := visitRecent(recent[0]); err != nil {
				return err
			}
			recent = recent[1:]
		}
		if len(recent) > 0 && recent[0] == string(left) {
			continue // the cells know better
		}
		_, raw, err := state.SplitRowValue(it.Value())
		if err != nil {
			return err
		}
		hash, err := hashSerde{}.Decode(raw)
		if err != nil {
			return err
		}
		if err := visit(left, hash); err != nil {
			return err
		}
	}
	for _, left := range recent {
		if err := visitRecent(left); err != nil {
			return err
		}
	}
	return it.Err()
}

// rightSide is what happens beside the right table.
type rightSide[K, F, R any] struct {
	n          *node
	inst       *Instance
	store      *subscriptionStore
	foreignKey serde.Serde[F]
	leftKey    serde.Serde[K]
	read       rowReader[F, R]
	next       emit[K, answer[R]]
	foreign    []byte // encoded, with its length
	left       []byte
}

func openRightSide[K, F, R any](w *wirer, n *node, handle state.KeyValueStore[[]byte, rowHash], right *Table[F, R],
	via ForeignJoin[K, F, R]) *rightSide[K, F, R] {
	s := &rightSide[K, F, R]{n: n, inst: w.instance, foreignKey: via.Subscriptions.Key, leftKey: via.Subscriptions.Value}
	if opened := w.instance.storeByName[via.Store]; opened != nil {
		s.store = opened.(*subscriptionStore)
		return s
	}
	env := w.storeEnv(handle.Spec())
	cells, err := handle.OpenCells(env)
	if err != nil {
		w.fail(&NodeError{Node: n.name, Err: err})
		return s
	}
	s.store = &subscriptionStore{Cells: cells, view: env.View, id: env.ID, recent: map[string]map[string]struct{}{}}
	w.instance.addStore(s.store)
	return s
}

func (s *rightSide[K, F, R]) encodeForeign(f F) error {
	b, err := s.foreignKey.Append(append(s.foreign[:0], 0, 0, 0, 0), f)
	if err != nil {
		return &NodeError{Node: s.n.name, Class: ClassEncode, Err: fmt.Errorf("foreign key does not encode as %s: %w", s.foreignKey.Name(), err)}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	s.foreign = b
	return nil
}

// subscribe takes a subscription in, and answers it as it asks for.
func (s *rightSide[K, F, R]) subscribe(r processor.Record[processor.Opt[F], subscription[K]]) (err error) {
	s.inst.at = s.n
	ask := r.Value
	var row tableRow[R]
	if r.Key.OK {
		if err := s.encodeForeign(r.Key.Value); err != nil {
			return err
		}
		if s.left, err = s.leftKey.Append(s.left[:0], ask.key); err != nil {
			return &NodeError{Node: s.n.name, Class: ClassEncode, Err: fmt.Errorf("left key does not encode as %s: %w", s.leftKey.Name(), err)}
		}
		keep := ask.instruction == answerIfMatched || ask.instruction == answerAlways
		if err := s.store.set(s.foreign, s.left, ask.hash, int64(r.Time), keep); err != nil {
			return &NodeError{Node: s.n.name, Err: err}
		}
		if ask.instruction != unsubscribe {
			if row, err = s.read(r.Key.Value); err != nil {
				return err
			}
		}
	}
	if ask.instruction == unsubscribe || (ask.instruction == answerIfMatched && !row.value.OK) {
		return nil
	}
	if row.value.OK {
		r.Time = max(r.Time, row.time)
	}
	if ask.instruction == unsubscribeAndAnswer {
		row.value = processor.None[R]() // the right row gave only the time
	}
	return s.next(processor.WithKey(r, ask.key, answer[R]{hash: ask.hash, right: row.value}))
}

// update answers all left rows that refer to a right row.
func (s *rightSide[K, F, R]) update(r processor.Record[F, change[R]]) error {
	s.inst.at = s.n
	if err := s.encodeForeign(r.Key); err != nil {
		return err
	}
	err := s.store.each(s.foreign, func(left []byte, hash rowHash) error {
		s.inst.at = s.n
		key, err := s.leftKey.Decode(left)
		if err != nil {
			return fmt.Errorf("left key does not decode as %s: %w", s.leftKey.Name(), err)
		}
		return s.next(processor.WithKey(r, key, answer[R]{hash: hash, right: r.Value.New}))
	})
	return s.named(err)
}

// named gives an error the name of the node unless it has one from below.
func (s *rightSide[K, F, R]) named(err error) error {
	if _, ok := err.(*NodeError); ok || err == nil {
		return err
	}
	return &NodeError{Node: s.n.name, Err: err}
}
