package cli

import (
	"runtime"
	"strings"
	"testing"
)

// A wrong command line says what is wrong and how to find out more, on the
// standard error alone, and nothing is tried.
func TestUsage(t *testing.T) {
	const none = "http://127.0.0.1:1" // nothing listens there
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", ExitUsage, "which command? There are: bench, "},
		{"nonsense", ExitUsage, `there is no command "nonsense"; there are: bench, `},
		{"--nonsense", ExitUsage, "unknown flag: --nonsense"},
		{"bench", ExitUsage, "which command? There are: count, hourly, restore"},
		{"bench hourley", ExitUsage, `there is no command "hourley"`},
		{"bench hourly extra", ExitUsage, `unexpected argument "extra"`},
		{"bench hourly --meters many", ExitUsage, "--meters"},
		{"bench hourly --meters 0", ExitUsage, "--meters is 0: want 1 to 10000000"},
		{"bench hourly --rounds -1", ExitUsage, "--rounds is -1"},
		{"bench hourly --meters 10000000 --rounds 10000000", ExitUsage, "are too many"},
		{"bench hourly --emit never", ExitUsage, `--emit is "never": want update, commit or close`},
		{"bench hourly --partitions 0", ExitUsage, "--partitions is 0"},
		{"bench hourly --workers 0", ExitUsage, "--workers is 0"},
		{"bench hourly --commit-interval 0s", ExitUsage, "--commit-interval is 0s"},
		{"bench hourly --commit-interval soon", ExitUsage, "--commit-interval"},
		{"bench hourly --reps 0", ExitUsage, "--reps is 0"},
		{"bench count --emit close", ExitUsage, `--emit is "close": want update or commit`},
		{"bench count --meters 5", ExitUsage, "unknown flag: --meters"},
		{"bench restore --keys 0", ExitUsage, "--keys is 0"},
		{"bench hourly --dir /nowhere/at/all", ExitFailed, "directory for the run"},
		{"bench phase", ExitUsage, "the argument NAME is missing"},
		{"bench phase fill", ExitFailed, "read its job"},
		{"topic", ExitUsage, "There are: create, describe, list, read"},
		{"topic list -o yaml", ExitUsage, "want table, json"},
		{"topic list --addr nonsense", ExitUsage, `--addr is "nonsense": want a URL`},
		{"topic list --addr ftp://127.0.0.1", ExitUsage, "want a URL"},
		{"topic list --addr http://example.invalid --token-file /dev/null", ExitUsage, "use https"},
		{"topic list --token-file /nowhere/at/all", ExitUsage, "--token-file"},
		{"topic list --addr " + none, ExitUnhealthy, none + " does not answer"},
		{"topic read", ExitUsage, "the argument TOPIC is missing"},
		{"topic read t --limit 0", ExitUsage, "--limit is 0"},
		{"topic read t --offset last", ExitUsage, `--offset is "last"`},
		{"topic read t --addr " + none, ExitUnhealthy, "does not answer"},
		{"store", ExitUsage, "There are: get, scan"},
		{"store get counts", ExitUsage, "the argument KEY is missing"},
		{"store get counts a b", ExitUsage, `unexpected argument "b"`},
		{"store scan counts --limit 0", ExitUsage, "--limit is 0"},
		{"store scan counts --addr " + none, ExitUnhealthy, "does not answer"},
		{"topology a b", ExitUsage, `unexpected argument "b"`},
		{"topology nonsense", ExitNotFound, `there is no topology "nonsense"`},
		{"topology -o dot", ExitUsage, "name it"},
		{"topology bench-hourly -o table", ExitUsage, "want text, json, dot, mermaid"},
		{"version extra", ExitUsage, `unexpected argument "extra"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			got := tidemill(t, nil, strings.Fields(c.args)...)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d", got.code, c.code)
			}
			if got.stdout != "" {
				t.Errorf("standard output %q, want none", got.stdout)
			}
			if !strings.HasPrefix(got.stderr, "tidemill") || !strings.Contains(got.stderr, c.want) {
				t.Errorf("standard error %q, want %q in it", got.stderr, c.want)
			}
			if help := strings.Contains(got.stderr, "--help' for usage."); help != (c.code == ExitUsage) {
				t.Errorf("standard error %q: only a usage error points to --help", got.stderr)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	for args, want := range map[string]string{
		"--help":                          "Exit codes: 0 ok",
		"bench --help":                    "hourly",
		"bench hourly --help":             "2025-06-01 00:00 UTC",
		"bench count -h":                  "running count",
		"bench restore -h":                "state directory is deleted",
		"store get -h":                    "--token-file",
		"version":                         runtime.GOOS + "/" + runtime.GOARCH,
		"version -o json":                 `"go":"go1.`,
		"topology":                        "bench-hourly",
		"topology -o json":                `"name":"bench-hourly"`,
		"topology bench-hourly":           "hourly-mean",
		"topology bench-count -o json":    `"counts"`,
		"topology bench-hourly -o dot":    "digraph",
		"topology bench-count -o mermaid": "flowchart",
	} {
		got := tidemill(t, nil, strings.Fields(args)...)
		if got.code != ExitOK || got.stderr != "" || !strings.Contains(got.stdout, want) {
			t.Errorf("%s: exit code %d, standard error %q, standard output %q, want %q in it", args, got.code, got.stderr, got.stdout, want)
		}
	}
}
