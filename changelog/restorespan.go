package changelog

import (
	"fmt"

	"github.com/tidemill/tidemill/state"
)

// addSpan gathers a record of a store whose rows lie under their key first: the
// row, and its entry in the order of ends.
func (r *Restorer) addSpan(offset, time int64, logKey, value []byte) error {
	start, end, key, err := r.Spec.SplitSpanChangelogKey(logKey)
	if err != nil {
		return fmt.Errorf("restore %s offset %d: %w", r.Source, offset, err)
	}
	if end < r.Horizon {
		return nil
	}
	row, entry := restored{at: len(r.arena), value: -1}, restored{value: -1}
	r.arena = r.Spec.AppendSpanKey(r.arena, r.ID, start, end, key)
	row.key = len(r.arena) - row.at
	if value != nil {
		r.arena = state.AppendRowValue(r.arena, time, value)
		row.value = len(r.arena) - row.at - row.key
		entry.value = 0
	}
	entry.at = len(r.arena)
	r.arena = r.Spec.AppendEndKey(r.arena, r.ID, start, end, key)
	entry.key = len(r.arena) - entry.at
	r.rows = append(r.rows, row, entry)
	r.bytes = len(r.arena)
	return nil
}
