package changelog

import (
	"encoding/json"
	"fmt"

	"github.com/tidemill/tidemill/processor"
)

// PositionVersion is the version of the position record that this program
// writes, and the newest that it reads.
const PositionVersion = 1

// Position is where a task stands: the truth about what it has processed, written
// in the same transaction as the results. It is the value of a record in the
// positions topic, whose key is the task id, as JSON.
type Position struct {
	Version int    `json:"version"`
	Task    string `json:"task"`
	// Inputs is the next offset to read of each input topic, in the task's
	// partition.
	Inputs map[string]int64 `json:"inputs"`
	// StreamTime is the highest event time processed.
	StreamTime processor.Timestamp `json:"stream_time"`
	// Clocks are the clocks of the task's operators and punctuations; their form
	// belongs to package topology.
	Clocks json.RawMessage `json:"clocks"`
}

// Encode returns the bytes of the record's value.
func (p Position) Encode() ([]byte, error) {
	p.Version = PositionVersion
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("position of task %s: %w", p.Task, err)
	}
	return b, nil
}

// DecodePosition reads a position record.
func DecodePosition(value []byte) (Position, error) {
	var p Position
	if err := json.Unmarshal(value, &p); err != nil {
		return p, fmt.Errorf("position record: %w", err)
	}
	if p.Version > PositionVersion || p.Version < 1 {
		return p, fmt.Errorf("position record of task %s has version %d, this program reads versions 1 to %d; run a newer tidemill",
			p.Task, p.Version, PositionVersion)
	}
	return p, nil
}
