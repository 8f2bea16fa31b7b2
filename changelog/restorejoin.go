package changelog

import (
	"fmt"

	"github.com/tidemill/tidemill/state"
)

// addJoin gathers a record of one side of a join: the row, and what it says about
// its entry among those that wait.
func (r *Restorer) addJoin(offset, time int64, logKey, value []byte) error {
	at, sequence, key, err := state.SplitJoinChangelogKey(logKey)
	if err != nil {
		return fmt.Errorf("restore %s offset %d: %w", r.Source, offset, err)
	}
	if at < r.Horizon {
		return nil
	}
	row, entry := restored{at: len(r.arena), value: -1}, restored{value: -1}
	r.arena = r.Spec.AppendJoinKey(r.arena, r.ID, at, sequence, key)
	row.key = len(r.arena) - row.at
	waits, waited := false, true // of a row that was taken
	if value != nil {
		if waits, waited, err = state.WaitChange(value); err != nil {
			return fmt.Errorf("restore %s offset %d: %w", r.Source, offset, err)
		}
		r.arena = state.AppendRowValue(r.arena, time, value)
		row.value = len(r.arena) - row.at - row.key
	}
	r.rows = append(r.rows, row)
	if waits || waited {
		entry.at = len(r.arena)
		r.arena = state.AppendWaitKey(r.arena, r.ID, at, sequence, key)
		entry.key = len(r.arena) - entry.at
		if waits {
			entry.value = 0
		}
		r.rows = append(r.rows, entry)
	}
	r.bytes = len(r.arena)
	return nil
}
