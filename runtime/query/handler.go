package query

import (
	"bytes"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// Options configure [NewHandler]; the zero value is useful.
type Options struct {
	// Instance names this process in the Served-By header; "" leaves it out.
	Instance string
	// Metrics serves GET /metrics; without it the route answers 404.
	Metrics http.Handler
	// CursorKey signs cursors. Give all instances the same, and cursors survive a
	// restart; the default is a random key of this process.
	CursorKey Secret
	// Limits bound every request.
	Limits Limits
	// Now is the clock of time budgets; nil is time.Now.
	Now func() time.Time
	// Log takes the errors that clients are not shown; nil is slog.Default().
	Log *slog.Logger
}

// handler serves the routes. It holds no state of its own.
type handler struct {
	backend Backend
	opts    Options
	sealer  sealer
	mux     *http.ServeMux
}

// route is one entry of the API. A test compares the table with openapi.json.
type route struct {
	method, path string
	params       []string // of the query string; others are refused
	handle       func(w http.ResponseWriter, r *http.Request, q params) error
}

// NewHandler serves the state of an application over HTTP. It checks nobody's
// identity: put it behind [Guard].
func NewHandler(b Backend, opts Options) http.Handler {
	return newHandler(b, opts)
}

func newHandler(b Backend, opts Options) *handler {
	opts.Limits = opts.Limits.withDefaults()
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	h := &handler{backend: b, opts: opts, sealer: newSealer(opts.CursorKey), mux: http.NewServeMux()}
	for _, rt := range h.routes() {
		h.mux.HandleFunc(rt.method+" "+rt.path, h.serve(rt))
	}
	return h
}

func (h *handler) routes() []route {
	return []route{
		{"GET", "/{$}", nil, h.index},
		{"GET", "/style.css", nil, h.style},
		{"GET", "/livez", nil, h.livez},
		{"GET", "/readyz", nil, h.readyz},
		{"GET", "/metrics", nil, h.metrics},
		{"GET", "/v1/openapi.json", nil, h.openAPI},
		{"GET", "/v1/stores", nil, h.listStores},
		{"GET", "/v1/stores/{s}/key", []string{"key", "enc"}, h.getKey},
		{"POST", "/v1/stores/{s}/batchGet", nil, h.batchGet},
		{"GET", "/v1/stores/{s}/scan", []string{"from", "to", "prefix", "enc", "reverse", "limit", "cursor", "partition"}, h.scan},
		{"GET", "/v1/stores/{s}/windows", []string{"key", "enc", "from", "to", "limit", "cursor"}, h.windows},
		{"GET", "/v1/topics", []string{"internal"}, h.listTopics},
		{"GET", "/v1/topics/{t}/records", []string{"partition", "offset", "limit"}, h.readTopic},
		{"POST", "/v1/topics/{t}/records", nil, h.appendTopic},
	}
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.opts.Instance != "" {
		w.Header().Set("Served-By", h.opts.Instance)
	}
	if found, pattern := h.mux.Handler(r); pattern == "" {
		noRoute(found, r).write(w)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// noRoute finds out from what the mux would have answered in plain text whether
// the path or only the method is wrong.
func noRoute(answered http.Handler, r *http.Request) *Problem {
	rec := &discarded{header: http.Header{}}
	answered.ServeHTTP(rec, r)
	if rec.status != http.StatusMethodNotAllowed {
		return problem(CodeNotFound, "there is nothing at this path; GET /v1/openapi.json lists what there is")
	}
	p := problem(CodeMethodNotAllowed, "this path takes "+rec.header.Get("Allow"))
	p.allow = rec.header.Get("Allow")
	return p
}

// serve turns a route into a handler: parameters are checked before, errors are
// sent after.
func (h *handler) serve(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t := &trackingWriter{ResponseWriter: w}
		r.Body = http.MaxBytesReader(w, r.Body, h.opts.Limits.BodyBytes)
		q, err := parseParams(r.URL.RawQuery, rt.params)
		if err == nil {
			err = rt.handle(t, r, q)
		}
		if err == nil {
			return
		}
		p := problemOf(err)
		if p.Code == CodeInternal || t.wrote {
			h.opts.Log.Error("query failed", "route", rt.path, "answered", t.wrote, "err", err.Error())
		}
		if !t.wrote { // else only the clean-up failed
			p.write(w)
		}
	}
}

func (h *handler) metrics(w http.ResponseWriter, r *http.Request, _ params) error {
	if h.opts.Metrics == nil {
		return problem(CodeNotFound, "this application has no metrics")
	}
	h.opts.Metrics.ServeHTTP(w, r)
	return nil
}

func (h *handler) livez(w http.ResponseWriter, _ *http.Request, _ params) error {
	health := h.backend.Health()
	return sendJSON(w, healthStatus(health.Live), health)
}

func (h *handler) readyz(w http.ResponseWriter, _ *http.Request, _ params) error {
	health := h.backend.Health()
	if !health.Ready {
		w.Header().Set("Retry-After", retryAfter)
	}
	return sendJSON(w, healthStatus(health.Ready), health)
}

func healthStatus(ok bool) int {
	if ok {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

// discarded keeps of an answer what noRoute looks at.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }

// digestParams is what a cursor is bound to, besides the store.
func digestParams(q params, names []string) []byte {
	var out bytes.Buffer
	for _, name := range slices.Sorted(slices.Values(names)) {
		if name == "limit" || name == "cursor" || !q.has(name) {
			continue
		}
		id := scanOf([]byte(name), []byte(q.get(name)))
		out.Write(id[:])
	}
	return out.Bytes()
}
