package changelog

import (
	"encoding/json"
	"fmt"

	"github.com/tidemill/tidemill/state"
)

// StoreIDs are the numbers of a task's stores in its engine, given once and kept
// in the engine itself.
type StoreIDs map[string]uint16

const storeIDsKey = "store-ids"

// LoadStoreIDs reads the numbers from an engine and gives new ones to stores that
// have none, durably with the next flush.
func LoadStoreIDs(e state.Engine, specs []state.Spec) (StoreIDs, error) {
	ids := StoreIDs{}
	raw, ok, err := e.Get(nil, state.AppendMetaKey(nil, storeIDsKey))
	if err != nil {
		return nil, err
	}
	if ok {
		if err := json.Unmarshal(raw, &ids); err != nil {
			return nil, fmt.Errorf("store numbers: %w", err)
		}
	}
	last := state.MetaID
	for _, id := range ids {
		last = max(last, id)
	}
	changed := false
	for _, s := range specs {
		if _, known := ids[s.Name]; !known {
			last++
			ids[s.Name], changed = last, true
		}
	}
	if !changed {
		return ids, nil
	}
	return ids, setMeta(e, storeIDsKey, ids)
}

const positionKey = "position"

// SetPosition adds to a batch the position that the engine reflects with it.
func SetPosition(b state.Batch, position []byte) error {
	return b.Set(state.AppendMetaKey(nil, positionKey), position)
}

// StoredPosition reads the position that an engine or a snapshot reflects.
func StoredPosition(r state.Reader) (p Position, ok bool, err error) {
	raw, ok, err := r.Get(nil, state.AppendMetaKey(nil, positionKey))
	if err != nil || !ok {
		return p, false, err
	}
	p, err = DecodePosition(raw)
	return p, err == nil, err
}

func setMeta(e state.Engine, name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b := e.NewBatch()
	if err := b.Set(state.AppendMetaKey(nil, name), raw); err != nil {
		b.Close()
		return err
	}
	return e.Apply(b)
}

const logIDKey = "log-id"

// StoredLogID is the id of the log that an engine's rows come from, "" if none.
func StoredLogID(r state.Reader) (string, error) {
	raw, _, err := r.Get(nil, state.AppendMetaKey(nil, logIDKey))
	return string(raw), err
}

// SetLogID ties an engine to a log, if it is not tied already.
func SetLogID(e state.Engine, id string) error {
	have, err := StoredLogID(e)
	if err != nil || have == id || id == "" {
		return err
	}
	b := e.NewBatch()
	if err := b.Set(state.AppendMetaKey(nil, logIDKey), []byte(id)); err != nil {
		b.Close()
		return err
	}
	return e.Apply(b)
}
