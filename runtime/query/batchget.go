package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

type batchGetRequest struct {
	Keys []json.RawMessage `json:"keys"`
	Enc  string            `json:"enc"`
}

func (h *handler) batchGet(w http.ResponseWriter, r *http.Request, _ params) (err error) {
	st, err := h.keyValueStore(r)
	if err != nil {
		return err
	}
	var req batchGetRequest
	if err := readJSON(r.Body, &req); err != nil {
		return err
	}
	enc, err := st.key.encoding(req.Enc)
	if err != nil {
		return err
	}
	if n := len(req.Keys); n == 0 || n > h.opts.Limits.Keys {
		return badParameter("keys", fmt.Sprintf("have %d keys, want 1 to %d", n, h.opts.Limits.Keys))
	}
	get := batchGetter{h: h, st: st, enc: enc, a: newAnswer(), meter: newMeter(h.opts.Limits, h.opts.Now), views: map[int32]*View{}}
	defer func() { err = errors.Join(err, get.close()) }()
	get.a.field("store", st.name)
	get.a.beginList("rows")
	for _, raw := range req.Keys {
		if err := get.one(r, raw); err != nil {
			return err
		}
	}
	get.a.endList()
	get.a.field("position", get.position())
	setPosition(w.Header(), get.position())
	get.a.send(w)
	return nil
}

// batchGetter answers several keys from one view of each partition.
type batchGetter struct {
	h     *handler
	st    store
	enc   Encoding
	a     *answer
	meter *meter
	spent bool
	views map[int32]*View
}

// one answers one key: with its row or its error. Only an error that is not the
// key's ends the request.
func (g *batchGetter) one(r *http.Request, raw json.RawMessage) error {
	found, ok, err := g.find(raw)
	if ok {
		g.a.row(g.st, found)
	} else {
		if err == nil {
			err = problem(CodeKeyNotFound, "no row of this key")
		}
		p := problemOf(err)
		if p.Code == CodeInternal {
			return err
		}
		g.a.beginObject()
		g.a.field("error", map[string]string{"code": string(p.Code), "detail": p.Detail})
		g.a.endObject()
	}
	spent, err := g.meter.examine(r.Context(), len(g.a.buf))
	g.spent = g.spent || spent
	return err
}

func (g *batchGetter) find(raw json.RawMessage) (row, bool, error) {
	if g.spent {
		return row{}, false, problem(CodeBudget, "the answer is full: ask for this key in another request")
	}
	key, err := g.st.key.parseJSONKey(g.enc, raw)
	if err != nil {
		return row{}, false, problem(CodeBadRequest, fmt.Sprintf("not a key as %s: %v", g.enc, err))
	}
	partition, err := g.st.partition(g.h.backend, key)
	if err != nil {
		return row{}, false, err
	}
	v := g.views[partition]
	if v == nil {
		if v, err = g.st.view(g.h.backend, partition); err != nil {
			return row{}, false, err
		}
		g.views[partition] = v
	}
	return lookup(v, 0, key)
}

func (g *batchGetter) position() Position {
	p := make(Position, len(g.views))
	for partition, v := range g.views {
		p[partition] = v.Position
	}
	return p
}

func (g *batchGetter) close() error {
	var errs []error
	for _, v := range g.views {
		errs = append(errs, v.Close())
	}
	return errors.Join(errs...)
}
