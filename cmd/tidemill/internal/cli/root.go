// Package cli is the command line of tidemill: cobra commands, their output as a
// table or JSON, and exit codes that scripts can decide on.
package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/cmd/tidemill/internal/bench"
)

// Env is what the command line has of the world.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Phases runs the phases of a benchmark; nil runs each in a process of its own.
	Phases bench.Phases
}

// Main runs the command line and returns the exit code. What goes wrong is said
// on Stderr.
func Main(ctx context.Context, env Env, args []string) int {
	root := newRoot(env)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(env.Stderr, "%s: %v\n", cmd.CommandPath(), err)
	code := exitCode(err)
	if code == ExitUsage {
		fmt.Fprintf(env.Stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return code
}

func newRoot(env Env) *cobra.Command {
	root := group("tidemill", "Look into running applications and Kafka clusters, and measure the engine.",
		newBench(env), newDev(env), newGroup(env), newStore(env), newTopic(env), newTopology(env), newTxn(env), newVersion(env))
	root.Long = root.Short + `

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 the application or the cluster is not
healthy or does not answer, 4 not found.`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%w", err) })
	return root
}

// group is a command that only holds others. cobra itself would answer a
// misspelt one with help and success.
func group(use, short string, subcommands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which command? There are: %s", strings.Join(names(cmd), ", "))
			}
			return usagef("there is no command %q; there are: %s", args[0], strings.Join(names(cmd), ", "))
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(subcommands...)
	return cmd
}

func names(cmd *cobra.Command) (out []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			out = append(out, c.Name())
		}
	}
	return out
}

// exactArgs wants the named arguments and no others.
func exactArgs(want ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(want):
			return usagef("the argument %s is missing", want[len(args)])
		case len(args) > len(want):
			return usagef("unexpected argument %q", args[len(want)])
		}
		return nil
	}
}
