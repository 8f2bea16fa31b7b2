package topology_test

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/processor"
)

// compareStep says how the results of one step differ from those expected, or
// "" if they do not. The order between topics never counts; inside a topic the
// scenario says what does.
func (s *scenario) compareStep(want, got []result) string {
	var diff []string
	wanted, had := s.sequences(want), s.sequences(got)
	names := slices.Sorted(maps.Keys(wanted))
	for name := range had {
		if wanted[name] == nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if d := compareLists(wanted[name], had[name]); d != "" {
			diff = append(diff, d)
		}
	}
	return strings.Join(diff, "\n")
}

// sequences sorts results into the lists whose order counts.
func (s *scenario) sequences(results []result) map[string][]result {
	out := map[string][]result{}
	for _, r := range results {
		name := r.Topic
		switch s.Order {
		case "perKey":
			inner := r.Key.optKey
			inner.Value = Key{Text: inner.Value.Text}
			name += " " + inner.String()
		case "perWindow":
			name += " " + r.Key.String()
		}
		out[name] = append(out[name], r)
	}
	return out
}

// compareRows compares the rows of a store as sets.
func compareRows(want, got []result) string {
	order := func(a, b result) int { return cmp.Compare(a.Key.String(), b.Key.String()) }
	want, got = slices.Clone(want), slices.Clone(got)
	slices.SortFunc(want, order)
	slices.SortFunc(got, order)
	return compareLists(want, got)
}

func compareLists(want, got []result) string {
	if len(want) == 0 && len(got) == 0 || reflect.DeepEqual(want, got) {
		return ""
	}
	return fmt.Sprintf("want %s\ngot  %s", list(want), list(got))
}

func list(results []result) string {
	lines := make([]string, len(results))
	for i, r := range results {
		lines[i] = r.String()
	}
	return "[" + strings.Join(lines, "; ") + "]"
}

// resultHeaders and recordHeaders convert between the two forms of headers.
func resultHeaders(headers []processor.Header) (out [][2]string) {
	for _, h := range headers {
		out = append(out, [2]string{h.Key, string(h.Value)})
	}
	return out
}

func recordHeaders(headers [][2]string) (out []processor.Header) {
	for _, h := range headers {
		out = append(out, processor.Header{Key: h[0], Value: []byte(h[1])})
	}
	return out
}
