package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

var (
	words    = topology.Topic[string, int64]{Name: "words", Partitions: 2, Key: serde.String, Value: serde.Int64}
	wordSums = state.KeyValue("word-sums", serde.String, serde.Int64)
	hourSums = state.Window("hour-sums", serde.String, serde.Int64)
)

func wordTopology() (*topology.Topology, error) {
	b := topology.New("words")
	grouped := topology.Source(b, words).GroupByKey()
	topology.Count(grouped, wordSums)
	topology.Count(grouped.WindowedBy(topology.Tumbling(time.Hour)), hourSums)
	return b.Build()
}

// startNode runs an application with a few records and returns its URL.
func startNode(t *testing.T) string {
	t.Helper()
	top, err := wordTopology()
	if err != nil {
		t.Fatal(err)
	}
	app, err := runtime.New(t.Context(), top, runtime.Config{Dir: "data", FS: vfs.NewMem(), CommitInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	server := httptest.NewServer(app.Handler())
	t.Cleanup(func() {
		server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	produce(t, app)
	return server.URL
}

func produce(t *testing.T, app *runtime.App) {
	t.Helper()
	p, err := runtime.NewProducer(t.Context(), app, words, "test")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	for i := range 30 {
		if err := p.SendAt(fmt.Sprintf("w%d", i%6), int64(i), at.Add(time.Duration(i)*10*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Commit(t.Context(), runtime.SourcePosition{Offset: 30}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := app.WaitProcessed(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestNode(t *testing.T) {
	addr := startNode(t)
	for _, c := range []struct {
		args  string
		code  int
		lines int // of standard output; -1: not looked at
		want  string
	}{
		{"topic list", ExitOK, 2, "2  delete   source  string  int64"},
		{"topic list --internal", ExitOK, -1, "words-word-sums-changelog"},
		{"topic list -o json", ExitOK, 1, `"key_serde":"string"`},
		{"topic read words", ExitOK, 31, "2025-06-01T04:50:00.000Z  w5   29"},
		{"topic read words --limit 4", ExitOK, 9, "2025-06-01T00:00:00.000Z  w0   0"},
		{"topic read words --offset -1 -o json", ExitOK, 2, `"key":"w5","value":29`},
		{"topic read words --partition 1 --offset 0 --limit 1 -o json", ExitOK, 1, `{"partition":1,"offset":0,`},
		{"topic read words --partition 2", ExitUsage, 0, "parameter partition"},
		{"topic read words --offset 1000", ExitUsage, 0, "ends at offset"},
		{"topic read nonsense", ExitNotFound, 0, "TOPIC_NOT_FOUND"},
		{"store get word-sums w3", ExitOK, 2, "w3   5      2025-06-01T04:30:00.000Z"},
		{"store get word-sums w3 -o json", ExitOK, 1, `"value":5`},
		{"store get word-sums nonsense", ExitNotFound, 0, "KEY_NOT_FOUND"},
		{"store get word-sums w3 --from 0", ExitUsage, 0, "are for window stores"},
		{"store get nonsense w3", ExitNotFound, 0, "there are: hour-sums, word-sums"},
		{"store get hour-sums w3", ExitOK, 6, "w3   2025-06-01T04:00:00.000Z  2025-06-01T05:00:00.000Z  1"},
		{"store get hour-sums w3 --from 2025-06-01T01:00:00Z --to 2025-06-01T03:00:00Z -o json", ExitOK, 2, `"start":"2025-06-01T02:00:00.000Z"`},
		{"store get hour-sums w3 --limit 1", ExitOK, 2, "2025-06-01T00:00:00.000Z"},
		{"store get hour-sums nonsense", ExitNotFound, 0, "no window of key nonsense"},
		{"store get hour-sums w3 --from yesterday", ExitUsage, 0, "parameter from"},
		{"store scan word-sums", ExitOK, 7, "w0   5"},
		{"store scan word-sums --from w4 -o json", ExitOK, 2, `"key":"w5"`},
		{"store scan word-sums --prefix w1", ExitOK, 2, "w1   5"},
		{"store scan word-sums --reverse --limit 1", ExitOK, 2, "w5   5"},
		{"store scan word-sums --partition 7", ExitUsage, 0, "parameter partition"},
		{"store scan hour-sums --limit 7", ExitOK, 8, "w0   2025-06-01T00:00:00.000Z"},
		{"store scan hour-sums --prefix w", ExitUsage, 0, "is a window store"},
		{"store scan nonsense", ExitNotFound, 0, "has no store"},
	} {
		t.Run(c.args, func(t *testing.T) {
			got := tidemill(t, nil, append(strings.Fields(c.args), "--addr", addr+"/")...)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d", got.code, c.code)
			}
			shown := got.stdout + got.stderr
			if !strings.Contains(shown, c.want) {
				t.Errorf("output %q\nwant %q in it", shown, c.want)
			}
			if n := strings.Count(got.stdout, "\n"); c.lines >= 0 && n != c.lines {
				t.Errorf("%d lines %q, want %d", n, got.stdout, c.lines)
			}
		})
	}
}

// What an application that is not well answers, and what something else does.
func TestNodeAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		code   int
		want   string
	}{
		"restoring":    {503, `{"code":"NOT_ACTIVE","detail":"is being restored"}`, ExitUnhealthy, "is being restored"},
		"slow":         {504, `{"code":"DEADLINE","detail":"took too long"}`, ExitUnhealthy, "took too long"},
		"token":        {401, `{"code":"UNAUTHORIZED","detail":"send a token"}`, ExitFailed, "--token-file"},
		"trimmed":      {410, `{"code":"POSITION_TRIMMED","detail":"older records are gone"}`, ExitNotFound, "older records"},
		"broken":       {500, `{"code":"INTERNAL","detail":"failed inside"}`, ExitFailed, "failed inside"},
		"another site": {404, `<html>not here</html>`, ExitFailed, "check --addr"},
		"a login page": {302, ``, ExitFailed, "check --addr"},
		"not JSON":     {200, `hello`, ExitFailed, "check --addr"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/login")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		got := tidemill(t, nil, "topic", "list", "--addr", server.URL)
		server.Close()
		if got.code != c.code || !strings.Contains(got.stderr, c.want) || got.stdout != "" {
			t.Errorf("%s: exit code %d, want %d; standard error %q, want %q in it", name, got.code, c.code, got.stderr, c.want)
		}
	}
}

func TestNodeToken(t *testing.T) {
	var seen string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Get("Authorization")
		fmt.Fprint(w, `{"topics":[]}`)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	for content, want := range map[string]string{"secret\n": "Bearer secret", "": "", "two\nlines": "", strings.Repeat("x", maxToken+1): ""} {
		seen = ""
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got := tidemill(t, nil, "topic", "list", "--addr", server.URL, "--token-file", file)
		if (got.code == ExitOK) != (want != "") || seen != want {
			t.Errorf("exit code %d, header %q, want %q", got.code, seen, want)
		}
		if strings.Contains(got.stderr, "secret") {
			t.Errorf("the token is shown: %q", got.stderr)
		}
	}
}

// Keys and values come from strangers: they must not reach the terminal as they
// are.
func TestPrintable(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"topics":[{"name":"t","partitions":1}],"records":[`+
			`{"offset":0,"time":"x","key":"a\u001b[31mb\nc","value_base64":"AAE="}],"next_offset":1,"end_offset":1}`)
	}))
	defer server.Close()
	got := tidemill(t, nil, "topic", "read", "t", "--addr", server.URL)
	if got.code != ExitOK || strings.Contains(got.stdout, "\x1b") || strings.Count(got.stdout, "\n") != 2 || !strings.Contains(got.stdout, "base64:AAE=") {
		t.Errorf("exit code %d, output %q", got.code, got.stdout)
	}
}
