package topology

import (
	"encoding/json"
	"fmt"
)

// DescribeJSON returns the [Description] as indented JSON, for programs: a diff
// between two versions of an application, a console. Equal declarations give
// equal bytes.
func (t *Topology) DescribeJSON() ([]byte, error) {
	text, err := json.MarshalIndent(t.Description(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe topology %s: %w", t.d.app, err)
	}
	return append(text, '\n'), nil
}
