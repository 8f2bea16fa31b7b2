package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

func noSleep(context.Context, time.Duration) {}

func contextWithLocalAddr(r *http.Request, a net.Addr) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, a)
}

func okHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
}

func TestHosts(t *testing.T) {
	tests := []struct {
		host     string
		loopback bool
		allowed  []string
		want     int
	}{
		{"127.0.0.1:8080", true, nil, 200},
		{"127.8.9.1", true, nil, 200},
		{"[::1]:8080", true, nil, 200},
		{"localhost", true, nil, 200},
		{"LOCALHOST:1", true, nil, 200},
		{"", true, nil, 403},
		{"localhost.attacker.example", true, nil, 403},
		{"127.0.0.1.attacker.example", true, nil, 403},
		{"192.0.2.1", true, nil, 403},
		{"0.0.0.0", true, nil, 403},
		{"meters.example:443", true, []string{"Meters.example"}, 200},
		{"anything", false, nil, 200},
		{"anything", false, []string{"meters.example"}, 403},
		{"localhost", false, []string{"meters.example"}, 403},
		{"meters.example", false, []string{"meters.example"}, 200},
	}
	for _, tt := range tests {
		h := Guard(okHandler(), GuardOptions{Loopback: tt.loopback, AllowedHosts: tt.allowed, Token: NewSecret(plantedToken), Sleep: noSleep})
		w := do(h, "GET", "/", "", bearer(plantedToken), func(r *http.Request) { r.Host = tt.host })
		if w.Code != tt.want {
			t.Errorf("host %q, loopback %v, allowed %v: status %d, want %d", tt.host, tt.loopback, tt.allowed, w.Code, tt.want)
		}
	}
}

func TestFailedLoginIsSlowAndCounted(t *testing.T) {
	var slept time.Duration
	failed := 0
	h := Guard(okHandler(), GuardOptions{
		Loopback: true, Token: NewSecret(plantedToken), OnFailedLogin: func() { failed++ },
		Sleep: func(_ context.Context, d time.Duration) { slept += d },
	})
	for range 3 {
		wantProblem(t, do(h, "POST", "/", "", bearer("guess")), 401, CodeUnauthorized)
	}
	if slept != 300*time.Millisecond || failed != 3 {
		t.Errorf("slept %v and counted %d, want 300ms and 3", slept, failed)
	}
	if w := do(h, "POST", "/", "", bearer(plantedToken)); w.Code != 200 || failed != 3 {
		t.Errorf("the right token answers %d, %d failures", w.Code, failed)
	}
}

func TestConcurrencyLimit(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-leave
		}
	})
	h := Guard(slow, GuardOptions{Loopback: true, MaxConcurrent: 2})
	done := make(chan struct{})
	for range 2 {
		go func() { do(h, "GET", "/slow", ""); done <- struct{}{} }()
		<-entered
	}
	w := do(h, "GET", "/v1/stores", "")
	wantProblem(t, w, 429, CodeBudget)
	if w.Header().Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
	if w := do(h, "GET", "/livez", ""); w.Code != 200 {
		t.Errorf("a busy server answers %d to /livez", w.Code)
	}
	close(leave)
	<-done
	<-done
	if w := do(h, "GET", "/v1/stores", ""); w.Code != 200 {
		t.Errorf("slots are not given back: status %d", w.Code)
	}
}

func TestPanicIsAnsweredAndLogged(t *testing.T) {
	var log bytes.Buffer
	h := Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }),
		GuardOptions{Loopback: true, MaxConcurrent: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 { // a slot that leaks would show
		w := do(h, "GET", "/", "")
		wantProblem(t, w, 500, CodeInternal)
		if strings.Contains(w.Body.String(), "boom") {
			t.Error("the answer shows the panic")
		}
	}
	if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "guard_test.go") {
		t.Errorf("the log has no panic with its stack: %s", log.String())
	}
}

// TestUnreturned: over a real connection, a half answer ends in an error, and a
// goroutine that is ended by a fault of the store still answers.
func TestUnreturned(t *testing.T) {
	h := Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/goexit" {
			runtime.Goexit()
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<16))
		panic("half way")
	}), GuardOptions{Loopback: true, MaxConcurrent: 1, Log: quiet()})
	srv := httptest.NewServer(h)
	defer srv.Close()
	for range 2 {
		resp, err := srv.Client().Get(srv.URL + "/goexit")
		if err != nil {
			t.Fatal(err)
		}
		var p Problem
		err = json.NewDecoder(resp.Body).Decode(&p)
		if err := errors.Join(err, resp.Body.Close()); err != nil || p.Code != CodeNotActive || resp.Header.Get("Retry-After") == "" {
			t.Errorf("an ended goroutine answers %+v, %v", p, err)
		}
	}
	resp, err := srv.Client().Get(srv.URL + "/panic")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("half an answer passes for a whole one")
	}
}

func TestBodyLimit(t *testing.T) {
	f := filled(t)
	limit := func(o *GuardOptions) { o.BodyBytes = 200 }
	h := guarded(f, true, limit)
	for _, size := range []int{199, 200, 201, 4 << 20} {
		body := `{"keys":["ada"]` + strings.Repeat(" ", size-16) + "}"
		w := do(h, "POST", "/v1/stores/people/batchGet", body, bearer(plantedToken))
		if size <= 200 && w.Code != 200 {
			t.Errorf("%d bytes: status %d %s", size, w.Code, w.Body)
		}
		if size > 200 {
			wantProblem(t, w, 413, CodeTooLarge)
		}
		trailing := `{"keys":["ada"]}` + strings.Repeat(" ", size-16)
		if w := do(h, "POST", "/v1/stores/people/batchGet", trailing, bearer(plantedToken)); size > 200 {
			wantProblem(t, w, 413, CodeTooLarge)
		}
	}
}

// deadlineWriter records the deadline that is set.
type deadlineWriter struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (d *deadlineWriter) SetWriteDeadline(t time.Time) error { d.deadline = t; return nil }

func TestWriteDeadline(t *testing.T) {
	now := time.Unix(1000, 0)
	h := Guard(okHandler(), GuardOptions{Loopback: true, Now: func() time.Time { return now }})
	w := &deadlineWriter{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "localhost"
	h.ServeHTTP(w, r)
	if want := now.Add(30 * time.Second); !w.deadline.Equal(want) {
		t.Errorf("write deadline is %v, want %v", w.deadline, want)
	}
}

func TestSecretIsRedacted(t *testing.T) {
	type config struct {
		Token  Secret
		hidden Secret
	}
	c := config{NewSecret(plantedToken), NewSecret(plantedToken)}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", c.Token, "config", c)
	shown := []string{string(text), log.String(), c.Token.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, c.Token), fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, []any{c.hidden}))
	}
	hexToken := fmt.Sprintf("%x", plantedToken)
	for _, s := range shown {
		if strings.Contains(s, plantedToken) || strings.Contains(s, hexToken) {
			t.Errorf("the secret shows in %s", s)
		}
	}
	if c.hidden.Reveal() != plantedToken || (Secret{}).Reveal() != "" || !(Secret{}).IsZero() || c.Token.IsZero() {
		t.Error("Reveal or IsZero is wrong")
	}
}
