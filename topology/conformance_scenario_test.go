package topology_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidemill/tidemill/processor"
)

// scenario is one golden file; see testdata/conformance/README.md.
type scenario struct {
	Name   string
	About  string
	Quirk  string
	Order  string
	Nodes  []scenarioNode
	Steps  []scenarioStep
	Expect struct {
		PerStep [][]result
		Stores  map[string][]result
	}
}

type scenarioNode struct {
	ID, Op string
	Inputs []string
	Params params
}

type scenarioStep struct {
	Send    string
	Key     jsonKey
	Value   jsonValue
	Time    int64 `json:"ts"`
	Headers [][2]string
	Advance int64
}

// result is one record that came out, or one row of a store.
type result struct {
	Topic   string
	Key     jsonKey
	Value   jsonValue
	Time    int64 `json:"ts"`
	Headers [][2]string
}

func (r result) String() string {
	return fmt.Sprintf("%s %v=%v ts=%d headers=%v", r.Topic, r.Key, r.Value, r.Time, r.Headers)
}

// jsonKey and jsonValue read keys and values as the goldens write them.
type (
	jsonKey   struct{ optKey }
	jsonValue struct{ optValue }
)

func (k *jsonKey) UnmarshalJSON(text []byte) error {
	var inner *string
	switch {
	case string(text) == "null":
		return nil
	case text[0] == '{':
		var w struct {
			Key        string
			Start, End int64
		}
		err := json.Unmarshal(text, &w)
		k.optKey = processor.Some(Key{Text: w.Key, Windowed: true, Start: w.Start, End: w.End})
		return err
	}
	if err := json.Unmarshal(text, &inner); err != nil {
		return err
	}
	k.optKey = processor.Some(Key{Text: *inner})
	return nil
}

func (v *jsonValue) UnmarshalJSON(text []byte) (err error) {
	var parsed Value
	switch {
	case string(text) == "null":
		return nil
	case text[0] == '"':
		parsed.Kind = TextValue
		err = json.Unmarshal(text, &parsed.Text)
	case bytes.ContainsAny(text, ".eE"):
		parsed.Kind = DoubleValue
		err = json.Unmarshal(text, &parsed.Double)
	default:
		parsed.Kind = IntValue
		err = json.Unmarshal(text, &parsed.Int)
	}
	v.optValue = processor.Some(parsed)
	return err
}

// params are the parameters of a node, each read as what its operator expects.
type params map[string]json.RawMessage

// read decodes a parameter; one that is missing leaves into as it is.
func (p params) read(name string, into any) error {
	raw, ok := p[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("parameter %s: %w", name, err)
	}
	return nil
}

func (p params) text(name string) string {
	var s string
	if err := p.read(name, &s); err != nil {
		return "" // the function or topic of that name is then reported as unknown
	}
	return s
}

func (p params) millis(name string) (time.Duration, error) {
	var ms int64
	err := p.read(name, &ms)
	return time.Duration(ms) * time.Millisecond, err
}

// loadScenarios reads all scenarios below a directory, ordered by path.
func loadScenarios(dir string) ([]*scenario, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil {
		return nil, err
	}
	var out []*scenario
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		s := &scenario{}
		if err := json.Unmarshal(text, s); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(s.Steps) != len(s.Expect.PerStep) {
			return nil, fmt.Errorf("%s: %d steps but %d lists of results", path, len(s.Steps), len(s.Expect.PerStep))
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no scenario; expected DIR/<group>/*.json", dir)
	}
	return out, nil
}

// loadDeviations reads the quirks that the engine does not have, on purpose.
func loadDeviations(path string) (map[string]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out[line] = true
		}
	}
	return out, nil
}

// deviates returns the quirk of the scenario that the engine does not have.
func (s *scenario) deviates(deviations map[string]bool) (quirk string, ok bool) {
	for q := range strings.SplitSeq(s.Quirk, "; ") {
		if deviations[q] {
			return q, true
		}
	}
	return "", false
}
