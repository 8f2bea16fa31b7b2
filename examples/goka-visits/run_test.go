package main

import (
	"bytes"
	"strings"
	"testing"
)

// The command, twice on one directory: the second start counts nothing again.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	for _, clicks := range []string{"500", "1000", "1000"} {
		var out, problems bytes.Buffer
		code := command(t.Context(), []string{"-dir", dir, "-listen", "", "-exit", "-clicks", clicks}, &out, &problems)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, problems.String())
		}
		home := map[string]string{"500": "125", "1000": "250"}[clicks]
		if !strings.Contains(out.String(), home+" visits") || strings.Count(out.String(), "visits") != 4 {
			t.Errorf("after %s clicks, of which a quarter are on each page:\n%s", clicks, out.String())
		}
	}
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{{"-clicks", "-1"}, {"-adopt", "g"}, {"argument"}, {"-unknown"}} {
		var out, problems bytes.Buffer
		if code := command(t.Context(), args, &out, &problems); code != 2 || problems.Len() == 0 {
			t.Errorf("%v: exit code %d, %q", args, code, problems.String())
		}
	}
	var out, problems bytes.Buffer
	if code := command(t.Context(), []string{"-h"}, &out, &problems); code != 0 {
		t.Errorf("-h: exit code %d", code)
	}
}
