package query

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// sample is a request that succeeds. Every route has at least one: the tests
// below go over the routes of the mux and fail for a route without.
type sample struct {
	path, body string
	status     int // 0 means 200
}

var samples = map[string][]sample{
	"GET /{$}":             {{path: "/"}},
	"GET /style.css":       {{path: "/style.css"}},
	"GET /livez":           {{path: "/livez"}},
	"GET /readyz":          {{path: "/readyz"}},
	"GET /metrics":         {{path: "/metrics"}},
	"GET /v1/openapi.json": {{path: "/v1/openapi.json"}},
	"GET /v1/stores":       {{path: "/v1/stores"}},
	"GET /v1/stores/{s}/key": {
		{path: "/v1/stores/people/key?key=ada"},
		{path: "/v1/stores/blobs/key?key=_z4"},
		{path: "/v1/stores/people/key?key=nobody", status: 404},
		{path: "/v1/stores/people/key", status: 400},
		{path: "/v1/stores/pepole/key?key=ada", status: 404},
	},
	"POST /v1/stores/{s}/batchGet": {
		{path: "/v1/stores/people/batchGet", body: `{"keys":["ada","nobody"],"enc":"text"}`},
		{path: "/v1/stores/blobs/batchGet", body: `{"keys":["/z4="]}`},
	},
	"GET /v1/stores/{s}/scan": {
		{path: "/v1/stores/people/scan?limit=2"},
		{path: "/v1/stores/blobs/scan"},
		{path: "/v1/stores/hourly/scan"},
	},
	"GET /v1/stores/{s}/windows":  {{path: "/v1/stores/hourly/windows?key=m1&from=0&limit=1"}},
	"GET /v1/topics":              {{path: "/v1/topics?internal=true"}},
	"GET /v1/topics/{t}/records":  {{path: "/v1/topics/visits/records"}, {path: "/v1/topics/raw/records"}, {path: "/v1/topics/nothing/records", status: 404}},
	"POST /v1/topics/{t}/records": {{path: "/v1/topics/visits/records", body: `{"records":[{"key":"k","value":{"name":"x","age":2},"time":5,"partition":1}]}`}},
}

const plantedToken = "0123456789abcdef-planted-token"

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func testOptions() Options {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	return Options{Instance: "node-1", Metrics: metrics, CursorKey: NewSecret("planted-cursor-key"), Log: quiet()}
}

// guarded is a handler behind a guard, as the runtime mounts it.
func guarded(b Backend, loopback bool, change ...func(*GuardOptions)) http.Handler {
	opts := GuardOptions{Loopback: loopback, Token: NewSecret(plantedToken), Sleep: noSleep, Log: quiet()}
	for _, c := range change {
		c(&opts)
	}
	return Guard(NewHandler(b, testOptions()), opts)
}

// eachRoute runs check for every sample of every route of the mux.
func eachRoute(t *testing.T, check func(t *testing.T, rt route, s sample)) {
	t.Helper()
	h := newHandler(newFake(), Options{})
	for _, rt := range h.routes() {
		name := rt.method + " " + rt.path
		if len(samples[name]) == 0 {
			t.Errorf("route %s has no sample request: add one", name)
		}
		for _, s := range samples[name] {
			t.Run(rt.method+" "+s.path, func(t *testing.T) { check(t, rt, s) })
		}
	}
}

func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code Code) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("answer %d %q is not a problem: %v", w.Code, w.Body, err)
	}
	if w.Code != status || p.Status != status || p.Code != code || p.Type == "" || p.Title == "" || p.Detail == "" {
		t.Errorf("answer is %d %+v, want %d %s", w.Code, p, status, code)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type of a problem is %q", got)
	}
	return p
}

func TestEveryRouteAnswers(t *testing.T) {
	eachRoute(t, func(t *testing.T, rt route, s sample) {
		f := filled(t)
		w := do(guarded(f, true), rt.method, s.path, s.body, bearer(plantedToken))
		if want := max(s.status, 200); w.Code != want {
			t.Errorf("answer is %d %s, want %d", w.Code, w.Body, want)
		}
		if w.Header().Get("Served-By") != "node-1" {
			t.Error("Served-By is missing")
		}
		for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Content-Type", "Cache-Control"} {
			if w.Header().Get(name) == "" && name != "Content-Type" || w.Body.Len() == 0 {
				t.Errorf("header %s is missing", name)
			}
		}
		f.checkClosed(t)
	})
}

func TestEveryRouteNeedsToken(t *testing.T) {
	eachRoute(t, func(t *testing.T, rt route, s sample) {
		for name, change := range map[string]func(*http.Request){
			"none": func(*http.Request) {}, "wrong": bearer(plantedToken + "x"), "empty": bearer(""),
			"basic": func(r *http.Request) { r.SetBasicAuth("admin", plantedToken) },
			"query": func(r *http.Request) { r.URL.RawQuery += "&token=" + plantedToken },
		} {
			w := do(guarded(filled(t), false), rt.method, s.path, s.body, change)
			if w.Code != 401 {
				t.Errorf("beyond loopback, token %s: status %d", name, w.Code)
			}
			if rt.method != "GET" {
				wantProblem(t, do(guarded(filled(t), true), rt.method, s.path, s.body, change), 401, CodeUnauthorized)
			}
			noToken := func(o *GuardOptions) { o.Token = Secret{} }
			if w := do(guarded(filled(t), false, noToken), rt.method, s.path, s.body, change); w.Code != 401 {
				t.Errorf("a guard without token lets %s through with status %d", name, w.Code)
			}
		}
	})
}

func TestEveryRouteRefusesForeigners(t *testing.T) {
	eachRoute(t, func(t *testing.T, rt route, s sample) {
		rebound := func(r *http.Request) { r.Host = "attacker.example:8080" }
		wantProblem(t, do(guarded(filled(t), true), rt.method, s.path, s.body, bearer(plantedToken), rebound), 403, CodeForbidden)
		if rt.method == "GET" {
			return
		}
		for name, change := range map[string]func(*http.Request){
			"fetch metadata": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
			"same site":      func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
			"origin":         func(r *http.Request) { r.Header.Set("Origin", "https://attacker.example") },
			"null origin":    func(r *http.Request) { r.Header.Set("Origin", "null") },
		} {
			w := do(guarded(filled(t), true), rt.method, s.path, s.body, bearer(plantedToken), change)
			if w.Code != 403 {
				t.Errorf("%s: status %d, want 403", name, w.Code)
			}
		}
	})
}

func TestEveryRouteRefusesUnknownParameters(t *testing.T) {
	eachRoute(t, func(t *testing.T, rt route, s sample) {
		unknown := func(r *http.Request) { r.URL.RawQuery = "form=1" }
		p := wantProblem(t, do(guarded(filled(t), true), rt.method, s.path, s.body, bearer(plantedToken), unknown), 400, CodeBadRequest)
		if p.Parameter != "form" {
			t.Errorf("the problem names parameter %q, want form", p.Parameter)
		}
	})
}

// TestSecretsStayInside plants the token, the cursor key and the text of an inner
// error, and looks for them in every answer that can be had.
func TestSecretsStayInside(t *testing.T) {
	f := filled(t)
	var log strings.Builder
	seen := 0
	look := func(w *httptest.ResponseRecorder) {
		t.Helper()
		var head strings.Builder
		_ = w.Header().Write(&head)
		for _, secret := range []string{plantedToken, "planted-cursor-key", "/secret/path"} {
			if strings.Contains(w.Body.String()+head.String(), secret) {
				t.Errorf("answer %d holds %q: %s%s", w.Code, secret, head.String(), w.Body)
			}
		}
		seen++
	}
	opts := testOptions()
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	for _, broken := range []error{nil, errPlanted, ErrNotActive} {
		f.inactive, f.appended = map[int32]error{}, broken
		if broken != nil {
			for p := range int32(fakePartitions) {
				f.inactive[p] = broken
			}
		}
		h := Guard(NewHandler(f, opts), GuardOptions{Loopback: true, Token: NewSecret(plantedToken), Sleep: noSleep, Log: opts.Log})
		eachRoute(t, func(t *testing.T, rt route, s sample) {
			look(do(h, rt.method, s.path, s.body, bearer(plantedToken)))
			look(do(h, rt.method, s.path, s.body, bearer("x"+plantedToken)))
			look(do(h, rt.method, s.path, "{", bearer(plantedToken)))
		})
	}
	if strings.Contains(log.String(), plantedToken) {
		t.Error("the log holds the token")
	}
	if !strings.Contains(log.String(), "/secret/path") {
		t.Error("the log does not hold the inner error, so it is lost")
	}
	if seen < 100 {
		t.Errorf("only %d answers were looked at", seen)
	}
}

func TestNoRoute(t *testing.T) {
	h := NewHandler(newFake(), Options{})
	for _, path := range []string{"/nothing", "/v1", "/v1/stores/people", "/v1/stores/a/b/c", "/favicon.ico"} {
		wantProblem(t, do(h, "GET", path, ""), 404, CodeNotFound)
	}
	w := do(h, "DELETE", "/v1/stores", "")
	wantProblem(t, w, 405, CodeMethodNotAllowed)
	if !strings.Contains(w.Header().Get("Allow"), "GET") {
		t.Errorf("Allow is %q", w.Header().Get("Allow"))
	}
	if w := do(h, "HEAD", "/v1/stores", ""); w.Code != 200 {
		t.Errorf("HEAD answers %d", w.Code)
	}
	wantProblem(t, do(h, "GET", "/metrics", ""), 404, CodeNotFound)
}

// TestPathTraversal sends names that are paths. The fake log panics when one
// reaches it.
func TestPathTraversal(t *testing.T) {
	h := NewHandler(filled(t), Options{Log: quiet()})
	names := []string{"..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e%2e%5c", "people%00", "C%3a", "%2fetc", ".", "a%2fb",
		strings.Repeat("a", 4096), "%ff", "con", "people%20", "-", "%0d%0aX:1"}
	for _, name := range names {
		for _, path := range []string{"/v1/stores/" + name + "/key?key=ada", "/v1/stores/" + name + "/scan", "/v1/topics/" + name + "/records"} {
			w := do(h, "GET", path, "")
			switch w.Code {
			case 301, 307, 308, 400, 404:
			default:
				t.Errorf("GET %.80s answers %d %.100s", path, w.Code, w.Body)
			}
		}
	}
}

// TestLocalAddressOverrulesLoopback: a guard that was told loopback, on a server
// that was bound elsewhere, asks for the token.
func TestLocalAddressOverrulesLoopback(t *testing.T) {
	h := guarded(filled(t), true)
	for addr, want := range map[string]int{"127.0.0.1": 200, "::1": 200, "192.0.2.7": 401} {
		w := do(h, "GET", "/v1/stores", "", func(r *http.Request) {
			*r = *r.WithContext(contextWithLocalAddr(r, &net.TCPAddr{IP: net.ParseIP(addr), Port: 80}))
		})
		if w.Code != want {
			t.Errorf("at %s: status %d, want %d", addr, w.Code, want)
		}
	}
}
