package query

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/tidemill/tidemill/state"
)

var windowParams = []string{"key", "enc", "from", "to"}

func (h *handler) windows(w http.ResponseWriter, r *http.Request, q params) error {
	st, err := findStore(h.backend, r.PathValue("s"))
	if err != nil {
		return err
	}
	if st.spec.Kind != state.KindWindow {
		p := problem(CodeBadRequest, fmt.Sprintf("store %s has no windows: use /v1/stores/%s/key or /scan", st.name, st.name))
		p.Store = st.name
		return p
	}
	from, err := q.time("from", 0)
	if err != nil {
		return err
	}
	to, err := q.time("to", math.MaxInt64)
	if err != nil {
		return err
	}
	if to < from {
		return badParameter("to", "it is before from")
	}
	p, err := h.newPage(st, "windows", q, windowParams)
	if err != nil {
		return err
	}
	if q.has("key") {
		return h.windowsOfKey(w, r, q, p, from, to)
	}
	if q.has("enc") {
		return badParameter("enc", "it says how key is written, and there is no key")
	}
	p.rows = windowSpan(from, to)
	return h.sendPage(w, r, p)
}

// windowsOfKey answers with the windows of one key, all in one partition. See
// eachWindow for what it costs.
func (h *handler) windowsOfKey(w http.ResponseWriter, r *http.Request, q params, p page, from, to int64) (err error) {
	key, err := keyParam(p.st, q)
	if err != nil {
		return err
	}
	if p.after != nil {
		from = max(from, startOf(*p.after)+1)
	}
	partition, err := p.st.partition(h.backend, key)
	if err != nil {
		return err
	}
	v, err := p.st.view(h.backend, partition)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	a := newAnswer()
	a.field("store", p.st.name)
	a.field("position", positionOf(v))
	a.beginList("rows")
	stopped, err := h.appendWindows(r, p, v, key, from, to, a)
	if err != nil {
		return err
	}
	a.endList()
	if stopped >= 0 {
		last := place{rowKey: binary.BigEndian.AppendUint64(nil, uint64(stopped)), partition: partition}
		return h.sendCursor(w, a, p.scan, last, positionOf(v))
	}
	setPosition(w.Header(), positionOf(v))
	a.send(w)
	return nil
}

// appendWindows appends the rows that fit. It returns the last start that the
// page covers if there may be more behind it, else -1.
func (h *handler) appendWindows(r *http.Request, p page, v *View, key []byte, from, to int64, a *answer) (stopped int64, err error) {
	meter := newMeter(h.opts.Limits, h.opts.Now)
	n, covered := 0, int64(-1)
	stopped = -1
	err = eachWindow(r.Context(), v, key, from, to, func(start int64, found row, ok bool) (bool, error) {
		if ok && n == p.limit {
			stopped = covered
			return false, nil
		}
		if ok {
			a.row(p.st, found)
			n++
		}
		covered = start
		spent, err := meter.examine(r.Context(), len(a.buf))
		if spent {
			stopped = covered
		}
		return !spent, err
	})
	return stopped, err
}

// startOf reads the window start of a cursor. A cursor is signed, so a short one
// cannot come up; it would start at the beginning.
func startOf(at place) int64 {
	if len(at.rowKey) < 8 {
		return -1
	}
	return int64(binary.BigEndian.Uint64(at.rowKey))
}
