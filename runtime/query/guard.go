package query

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// GuardOptions configure [Guard].
type GuardOptions struct {
	// Loopback says that the server listens on this machine only: a GET needs no
	// token, and the Host header must name this machine. A request that arrives at
	// any other address is treated as if it were false.
	Loopback bool
	// Token is what "Authorization: Bearer" must hold. Without one, whatever needs
	// a token is refused.
	Token Secret
	// AllowedHosts are further Host headers to accept, without port, for a server
	// behind a proxy. Beyond loopback the Host is checked only if there are any.
	AllowedHosts []string
	// MaxConcurrent bounds the requests that run at a time; 0 means 64. Health
	// checks do not count, so that a busy server is not taken for a dead one.
	MaxConcurrent int
	// BodyBytes bounds the body of a request; 0 means 1 MiB.
	BodyBytes int64
	// WriteTimeout bounds how long a client may take to read an answer, and the
	// request with it; 0 means 30 s.
	WriteTimeout time.Duration
	// OnFailedLogin is called for every request with a missing or wrong token.
	OnFailedLogin func()
	// Sleep delays the answer to such a request; nil waits on the wall clock.
	Sleep func(ctx context.Context, d time.Duration)
	// Now is the clock of deadlines; nil is time.Now.
	Now func() time.Time
	// Log takes panics; nil is slog.Default().
	Log *slog.Logger
}

// failedLoginDelay slows guessing down, and is not noticed by a person.
const failedLoginDelay = 100 * time.Millisecond

// Guard decides who may reach h and bounds what a request may cost. The order of
// its checks matters: a page of another origin learns nothing of the token, and
// a request without a token takes no slot from those that have one.
func Guard(h http.Handler, opts GuardOptions) http.Handler {
	if opts.MaxConcurrent <= 0 {
		opts.MaxConcurrent = 64
	}
	defaultTo(&opts.BodyBytes, 1<<20)
	defaultTo(&opts.WriteTimeout, 30*time.Second)
	if opts.Sleep == nil {
		opts.Sleep = sleep
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	g := &guard{opts: opts, token: sha256.Sum256([]byte(opts.Token.Reveal())), slots: make(chan struct{}, opts.MaxConcurrent)}
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(denyCrossOrigin))
	inner := g.checkHost(crossOrigin.Handler(g.checkToken(g.limit(h))))
	return g.recovering(inner)
}

type guard struct {
	opts  GuardOptions
	token [sha256.Size]byte
	slots chan struct{}
}

// loopback tells whether a request came in over loopback. The address it arrived
// at is believed over the option, in case a server was bound elsewhere.
func (g *guard) loopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return g.opts.Loopback && (!ok || local.IP.IsLoopback())
}

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	// Keeps scripts and images of other origins from being fed with answers.
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// checkHost refuses a name that an attacker has pointed at this machine: the
// browser takes it for the same origin, but sends it as Host.
func (g *guard) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if (g.loopback(r) || len(g.opts.AllowedHosts) > 0) && !g.knownHost(r) {
			problem(CodeForbidden, fmt.Sprintf("host %q is not this server: use its address, or allow the host", clip(r.Host))).write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *guard) knownHost(r *http.Request) bool {
	host := hostOnly(r.Host)
	if slices.ContainsFunc(g.opts.AllowedHosts, func(allowed string) bool { return strings.EqualFold(allowed, host) }) {
		return true
	}
	if !g.loopback(r) {
		return false
	}
	// Rebinding needs a name, so every loopback address will do.
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func hostOnly(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

func denyCrossOrigin(w http.ResponseWriter, _ *http.Request) {
	problem(CodeForbidden, "a page of another origin may not do this").write(w)
}

func (g *guard) checkToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reading := r.Method == http.MethodGet || r.Method == http.MethodHead
		if reading && g.loopback(r) || g.authorized(r) {
			next.ServeHTTP(w, r)
			return
		}
		if g.opts.OnFailedLogin != nil {
			g.opts.OnFailedLogin()
		}
		g.opts.Sleep(r.Context(), failedLoginDelay)
		w.Header().Set("WWW-Authenticate", "Bearer")
		problem(CodeUnauthorized, "send the header Authorization: Bearer with the token of this server").write(w)
	})
}

// authorized compares digests, so that the time it takes tells nothing about the
// token, its length included.
func (g *guard) authorized(r *http.Request) bool {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || g.opts.Token.IsZero() {
		return false
	}
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(given[:], g.token[:]) == 1
}

// limit takes a slot and sets the bounds of the request.
func (g *guard) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/livez" && r.URL.Path != "/readyz" {
			select {
			case g.slots <- struct{}{}:
				defer func() { <-g.slots }()
			default:
				problem(CodeBudget, fmt.Sprintf("%d requests are running already: try again soon", cap(g.slots))).write(w)
				return
			}
		}
		// Writers that have no deadlines, those of tests, are left alone.
		_ = http.NewResponseController(w).SetWriteDeadline(g.opts.Now().Add(g.opts.WriteTimeout))
		ctx, cancel := context.WithTimeout(r.Context(), g.opts.WriteTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, g.opts.BodyBytes)
		next.ServeHTTP(w, r)
	})
}

// recovering sets the headers that every answer has, and answers for handlers
// that do not come back: after a panic, and after a fault of a state store, which
// ends the goroutine that ran into it (then there is no panic to recover).
func (g *guard) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setSecurityHeaders(w.Header())
		t := &trackingWriter{ResponseWriter: w}
		returned := false
		defer func() {
			if returned {
				return
			}
			v := recover()
			if v == http.ErrAbortHandler {
				panic(v)
			}
			if v != nil {
				g.opts.Log.Error("query panicked", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			}
			if t.wrote { // half an answer must not look like a whole one
				panic(http.ErrAbortHandler)
			}
			answerUnreturned(t, v)
		}()
		next.ServeHTTP(t, r)
		returned = true
	})
}

func answerUnreturned(w http.ResponseWriter, panicked any) {
	if panicked != nil {
		problem(CodeInternal, "the request failed inside the application; its log says why").write(w)
		return
	}
	// The connection ends with the goroutine, so what is buffered has to go now.
	w.Header().Set("Connection", "close")
	problem(CodeNotActive, "the state store met a fault and is being rebuilt: try again soon").write(w)
	_ = http.NewResponseController(w).Flush()
}

// trackingWriter knows whether an answer has begun.
type trackingWriter struct {
	http.ResponseWriter
	wrote bool
}

// WriteHeader implements http.ResponseWriter.
func (t *trackingWriter) WriteHeader(status int) {
	t.wrote = true
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *trackingWriter) Write(b []byte) (int, error) {
	t.wrote = true
	return t.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the writer below.
func (t *trackingWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
