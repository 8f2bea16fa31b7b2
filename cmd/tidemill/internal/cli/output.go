package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
)

// The output formats.
const (
	formatTable   = "table"
	formatText    = "text"
	formatJSON    = "json"
	formatDOT     = "dot"
	formatMermaid = "mermaid"
)

// choice is a flag with a few values. It implements pflag.Value.
type choice struct {
	value string
	of    []string
}

// String implements pflag.Value.
func (c *choice) String() string { return c.value }

// Set implements pflag.Value.
func (c *choice) Set(text string) error {
	if !slices.Contains(c.of, text) {
		return fmt.Errorf("want %s", strings.Join(c.of, ", "))
	}
	c.value = text
	return nil
}

// Type implements pflag.Value.
func (c *choice) Type() string { return strings.Join(c.of, "|") }

// addFormat gives a command the flag -o. The first format is the default.
func addFormat(cmd *cobra.Command, formats ...string) *choice {
	c := &choice{value: formats[0], of: formats}
	cmd.Flags().VarP(c, "output", "o", "output format")
	return c
}

// grid is a table to be printed.
type grid struct {
	header []any
	rows   [][]any
}

func (g *grid) add(row ...any) { g.rows = append(g.rows, row) }

func (g *grid) write(w io.Writer) error {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	t.AppendHeader(table.Row(g.header))
	for _, row := range g.rows {
		t.AppendRow(table.Row(row))
	}
	_, err := io.WriteString(w, t.Render()+"\n")
	return err
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
