package query

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/tidemill/tidemill/state"
)

// page is a request for rows in order.
type page struct {
	st         store
	partitions []int32
	rows       func(*View) span
	reverse    bool
	limit      int
	scan       scanID
	after      *place // nil: the first page
}

var scanParams = []string{"from", "to", "prefix", "enc", "reverse", "partition"}

func (h *handler) scan(w http.ResponseWriter, r *http.Request, q params) error {
	st, err := findStore(h.backend, r.PathValue("s"))
	if err != nil {
		return err
	}
	p, err := h.newPage(st, "scan", q, scanParams)
	if err != nil {
		return err
	}
	if p.reverse, err = q.bool("reverse"); err != nil {
		return err
	}
	if q.has("partition") {
		n, err := q.number("partition", 0, 0, int64(st.partitions)-1)
		if err != nil {
			return err
		}
		p.partitions = []int32{int32(n)}
	}
	if p.rows, err = scanRange(st, q); err != nil {
		return err
	}
	return h.sendPage(w, r, p)
}

// newPage reads limit and cursor. endpoint and the named parameters are what a
// cursor is bound to.
func (h *handler) newPage(st store, endpoint string, q params, bound []string) (page, error) {
	limit, err := q.number("limit", int64(min(h.opts.Limits.DefaultRows, h.opts.Limits.Rows)), 1, int64(h.opts.Limits.Rows))
	if err != nil {
		return page{}, err
	}
	p := page{st: st, partitions: st.all(), limit: int(limit)}
	p.scan = scanOf([]byte(h.backend.App()), []byte(endpoint), []byte(st.name),
		strconv.AppendInt(nil, int64(st.partitions), 10), digestParams(q, bound))
	if q.get("cursor") != "" {
		at, err := h.sealer.open(p.scan, q.get("cursor"))
		if err != nil {
			return page{}, err
		}
		p.after = &at
	}
	return p, nil
}

// scanRange reads from, to and prefix. They are bounds of the encoded key, which
// a window store does not order its rows by.
func scanRange(st store, q params) (func(*View) span, error) {
	if st.spec.Kind == state.KindWindow {
		for _, name := range []string{"from", "to", "prefix"} {
			if q.has(name) {
				return nil, badParameter(name, fmt.Sprintf("rows of window store %s are in the order of their windows: use /v1/stores/%s/windows", st.name, st.name))
			}
		}
		return windowSpan(0, math.MaxInt64), nil
	}
	enc, err := st.key.encoding(q.get("enc"))
	if err != nil {
		return nil, err
	}
	bound := map[string][]byte{}
	for _, name := range []string{"from", "to", "prefix"} {
		if !q.has(name) {
			continue
		}
		if bound[name], err = st.key.parse(enc, q.get(name)); err != nil {
			return nil, badParameter(name, fmt.Sprintf("not a key as %s: %v", enc, err))
		}
	}
	all := span{lower: bound["from"], upper: bound["to"]}
	if prefix, ok := bound["prefix"]; ok {
		all = all.within(prefix)
	}
	return func(*View) span { return all }, nil
}

// within narrows a span to the keys that begin with prefix.
func (s span) within(prefix []byte) span {
	if string(prefix) > string(s.lower) {
		s.lower = prefix
	}
	if end := state.PrefixEnd(prefix); end != nil && (s.upper == nil || string(end) < string(s.upper)) {
		s.upper = end
	}
	return s
}

// windowSpan is the span of the windows with from <= start < to that have not
// expired in the view.
func windowSpan(from, to int64) func(*View) span {
	return func(v *View) span {
		lower := max(from, v.Horizon, 0)
		return span{
			lower: binary.BigEndian.AppendUint64(nil, uint64(lower)),
			upper: binary.BigEndian.AppendUint64(nil, uint64(max(to, lower))),
		}
	}
}

// sendPage answers with the rows that fit, and a cursor if there are more.
func (h *handler) sendPage(w http.ResponseWriter, r *http.Request, p page) (err error) {
	rows, err := openWalk(h.backend, p.st, p.partitions, p.rows, p.after, p.reverse)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.close()) }()
	a := newAnswer()
	a.field("store", p.st.name)
	a.field("position", rows.position())
	a.beginList("rows")
	meter := newMeter(h.opts.Limits, h.opts.Now)
	var last place
	full := false
	for n := 0; rows.next(); {
		if full {
			a.endList()
			return h.sendCursor(w, a, p.scan, last, rows.position())
		}
		found, err := rows.row()
		if err != nil {
			return err
		}
		a.row(p.st, found)
		n++
		spent, err := meter.examine(r.Context(), len(a.buf))
		if err != nil {
			return err
		}
		if full = spent || n == p.limit; full {
			last = rows.place()
		}
	}
	if rows.err != nil {
		return fmt.Errorf("store %s: %w", p.st.name, rows.err)
	}
	a.endList()
	setPosition(w.Header(), rows.position())
	a.send(w)
	return nil
}

func (h *handler) sendCursor(w http.ResponseWriter, a *answer, scan scanID, last place, position Position) error {
	cursor, err := h.sealer.seal(scan, last)
	if err != nil {
		return err
	}
	a.field("cursor", cursor)
	setPosition(w.Header(), position)
	a.send(w)
	return nil
}
