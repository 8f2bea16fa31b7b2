package runtime_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime"
)

// client keeps no connection, which would be a goroutine left behind.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

type answer struct {
	status int
	body   string
}

func request(t *testing.T, method, url, body string, change ...func(*http.Request)) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	for _, c := range change {
		c(r)
	}
	res, err := client.Do(r)
	must(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(t, err)
	return answer{res.StatusCode, string(b)}
}

func (a answer) want(t *testing.T, status int, words ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("answer %d %s, want %d", a.status, a.body, status)
	}
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Errorf("the answer does not contain %q: %s", w, a.body)
		}
	}
}

// address waits until the App listens.
func address(t *testing.T, app *runtime.App) string {
	t.Helper()
	for range 2000 {
		if a := app.Addr(); a != nil {
			return "http://" + a.String()
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the App does not listen")
	return ""
}

const firstHour = int64(1_748_736_000_000) // 2025-06-01T00:00:00Z

func sendReadings(t *testing.T, app *runtime.App) {
	t.Helper()
	p, err := runtime.NewProducer(t.Context(), app, readings, "http-test")
	must(t, err)
	defer p.Close()
	for i := range 8 {
		at := time.UnixMilli(firstHour).Add(time.Duration(i) * 15 * time.Minute)
		must(t, p.Send("meter-secret-17", reading{KWh: float64(i), At: at}))
	}
	must(t, p.Commit(t.Context(), runtime.SourcePosition{}))
	must(t, app.WaitProcessed(t.Context()))
}

func TestHTTPEndToEnd(t *testing.T) {
	dir := t.TempDir()
	app, _ := start(t, hourlyAverage, runtime.Config{Dir: dir, Listen: "127.0.0.1:0", CommitInterval: time.Millisecond})
	url := address(t, app)
	sendReadings(t, app)

	request(t, "GET", url+"/livez", "").want(t, 200)
	request(t, "GET", url+"/readyz", "").want(t, 200, `"ready":true`)
	request(t, "GET", url+"/v1/stores", "").want(t, 200, "hourly-mean")
	windows := url + "/v1/stores/hourly-mean/windows?key=meter-secret-17"
	request(t, "GET", windows, "").want(t, 200, `"Sum":6`, `"Sum":22`, `"position"`)
	request(t, "GET", windows+"&from=2025-06-01T01:00:00Z", "").want(t, 200, `"Sum":22`)
	request(t, "GET", url+"/v1/stores/nothing/windows?key=a", "").want(t, 404, "STORE_NOT_FOUND", "hourly-mean")

	checkWrites(t, url+"/v1/topics/meter-readings/records", filepath.Join(dir, "token"))
	checkMetrics(t, url)
	rebound := func(r *http.Request) { r.Host = "attacker.example" }
	request(t, "GET", url+"/v1/stores", "", rebound).want(t, 403, "FORBIDDEN", "attacker.example")
}

// checkWrites: a write takes the token of the file, which only its owner reads.
func checkWrites(t *testing.T, url, tokenFile string) {
	t.Helper()
	body := `{"records":[{"key":"m1","value":{"KWh":1,"At":"2025-06-01T05:00:00Z"}}]}`
	request(t, "POST", url, body).want(t, 401, "UNAUTHORIZED")
	token, err := os.ReadFile(tokenFile)
	must(t, err)
	info, err := os.Stat(tokenFile)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the token file has mode %v", info.Mode())
	}
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token))) }
	request(t, "POST", url, body, bearer).want(t, 200, `"offset":`, `"partition":`)
	internal := strings.Replace(url, "meter-readings", "meter-average-positions", 1)
	request(t, "POST", internal, body, bearer).want(t, 403, "FORBIDDEN")
}

// checkMetrics: the names that dashboards rely on are there, and no key is.
func checkMetrics(t *testing.T, url string) {
	t.Helper()
	scraped := request(t, "GET", url+"/metrics", "")
	scraped.want(t, 200, "tidemill_commits_total", "tidemill_committed_records_total", "tidemill_output_records_total",
		"tidemill_changelog_records_total", "tidemill_commit_seconds_bucket", "tidemill_commit_log_seconds_bucket",
		`tidemill_task_lag_records{task="meter-average_0",topic="meter-readings"}`, "tidemill_task_stream_time_seconds",
		"tidemill_task_running", "tidemill_task_restore_to_go_records", "tidemill_task_restored_records_total",
		"tidemill_task_cache_bytes", "tidemill_task_dropped_records_total", "tidemill_log_journal_syncs_total",
		"tidemill_log_transactions_total", "tidemill_http_failed_logins_total 1", "go_goroutines")
	if strings.Contains(scraped.body, "meter-secret") {
		t.Error("the metrics contain a key")
	}
}

// stalledLog lets restoring wait until it is released.
type stalledLog struct {
	*brokenLog
	release chan struct{}
}

type stalledReader struct {
	commitlog.Reader
	log *stalledLog
}

func (l *stalledLog) NewReader(o commitlog.ReaderOptions) (commitlog.Reader, error) {
	r, err := l.brokenLog.NewReader(o)
	return &stalledReader{r, l}, err
}

func (r *stalledReader) Poll(ctx context.Context) ([]commitlog.Fetched, error) {
	select {
	case <-r.log.release:
		return r.Reader.Poll(ctx)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// While state is being restored the App is live and not ready, says how far it
// is, and answers no query from half a store.
func TestReadyWhileRestoring(t *testing.T) {
	log := newBrokenLog(t)
	cfg := runtime.Config{Dir: t.TempDir(), StateInMemory: true, Log: log, Listen: "127.0.0.1:0", CommitInterval: time.Millisecond}
	app, stop := start(t, countInto(orderCount), cfg)
	importOrders(t, app, 9)
	wantCounts(t, app, 9)
	stop()

	stalled := &stalledLog{log, make(chan struct{})}
	cfg.Log = stalled
	app, _ = start(t, countInto(orderCount), cfg)
	url := address(t, app)
	restoring := func() bool { // a task is listed once the group has assigned it
		tasks := app.Health().Tasks
		return len(tasks) == 1 && tasks[0].State == "restoring"
	}
	for !restoring() {
		time.Sleep(time.Millisecond)
	}
	request(t, "GET", url+"/livez", "").want(t, 200)
	request(t, "GET", url+"/readyz", "").want(t, 503, "counting_0", "restoring")
	request(t, "GET", url+"/v1/stores/order-count/key?key=k0", "").want(t, 503, "NOT_ACTIVE")
	close(stalled.release)
	must(t, app.WaitReady(t.Context()))
	request(t, "GET", url+"/readyz", "").want(t, 200, `"restored":`)
	request(t, "GET", url+"/v1/stores/order-count/key?key=k0", "").want(t, 200, `"value":3`)
}

func TestListenRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	for _, c := range []struct {
		listen string
		want   []string
	}{
		{"0.0.0.0:0", []string{"0.0.0.0:0", "InsecureListen", "Config.Listen"}},
		{taken.Addr().String(), []string{taken.Addr().String(), "in use", "Config.Listen"}},
	} {
		app := newApp(t, countInto(orderCount), runtime.Config{Dir: t.TempDir(), Listen: c.listen})
		err := app.Run(t.Context())
		if err == nil {
			t.Fatalf("Run listened on %s", c.listen)
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("the error does not name %q: %v", w, err)
			}
		}
	}
}

// The handler works in a mux of the user's own, behind a prefix or not.
func TestHandlerInOwnMux(t *testing.T) {
	app, _ := start(t, countInto(orderCount), runtime.Config{Dir: t.TempDir(), CommitInterval: time.Millisecond})
	importOrders(t, app, 9)
	wantCounts(t, app, 9)
	mux := http.NewServeMux()
	mux.Handle("/orders/", http.StripPrefix("/orders", app.Handler()))
	mux.HandleFunc("/own", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "mine") })
	server := httptest.NewServer(mux)
	defer server.Close()
	request(t, "GET", server.URL+"/own", "").want(t, 200, "mine")
	request(t, "GET", server.URL+"/orders/readyz", "").want(t, 200)
	request(t, "GET", server.URL+"/orders/v1/stores/order-count/key?key=k1", "").want(t, 200, `"value":3`)
	request(t, "GET", server.URL+"/readyz", "").want(t, 404)
	if app.Addr() != nil {
		t.Error("an App that serves nothing has an address")
	}
}
