package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/cmd/tidemill/internal/bench"
	"github.com/tidemill/tidemill/examples/meters/metering"
	"github.com/tidemill/tidemill/topology"
)

// example is a topology that comes with the engine.
type example struct {
	name, short string
	build       func() (*topology.Topology, error)
}

// examples is the registry of the topology command.
var examples = []example{
	{"meters", "average per meter and hour, and over the last hour: examples/meters", func() (*topology.Topology, error) {
		return metering.Averages(4, topology.OnUpdate)
	}},
	{"bench-hourly", "hourly mean per meter, as 'tidemill bench hourly' runs it", func() (*topology.Topology, error) { return bench.Topology(bench.Hourly) }},
	{"bench-count", "running count per key, as 'tidemill bench count' runs it", func() (*topology.Topology, error) { return bench.Topology(bench.Count) }},
}

func newTopology(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "topology [NAME]", Short: "Describe a topology that comes with the engine.",
		Long: `Describe a topology that comes with the engine: its parts, operators, topics and
stores. Without a name, list what there is.`,
		Example: "  tidemill topology meters -o mermaid",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("unexpected argument %q", args[1])
			}
			return nil
		},
	}
	out := addFormat(cmd, formatText, formatJSON, formatDOT, formatMermaid)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return listExamples(env.Stdout, out.value)
		}
		for _, e := range examples {
			if e.name == args[0] {
				return describe(env.Stdout, e, out.value)
			}
		}
		return notFoundf("there is no topology %q; 'tidemill topology' lists what there is", args[0])
	}
	return cmd
}

func listExamples(w io.Writer, format string) error {
	type entry struct {
		Name  string `json:"name"`
		About string `json:"about"`
	}
	g, entries := grid{header: []any{"name", "about"}}, []entry{}
	for _, e := range examples {
		g.add(e.name, e.short)
		entries = append(entries, entry{e.name, e.short})
	}
	switch format {
	case formatJSON:
		return writeJSON(w, entries)
	case formatText:
		return g.write(w)
	}
	return usagef("-o %s draws one topology: name it", format)
}

func describe(w io.Writer, e example, format string) error {
	t, err := e.build()
	if err != nil {
		return fmt.Errorf("topology %s: %w", e.name, err)
	}
	var text string
	switch format {
	case formatJSON:
		raw, err := t.DescribeJSON()
		if err != nil {
			return fmt.Errorf("topology %s: %w", e.name, err)
		}
		text = string(raw)
	case formatDOT:
		text = t.DescribeDOT()
	case formatMermaid:
		text = t.DescribeMermaid()
	default:
		text = t.Describe()
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text += "\n"
	}
	_, err = io.WriteString(w, text)
	return err
}
