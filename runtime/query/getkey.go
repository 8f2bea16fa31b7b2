package query

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/tidemill/tidemill/state"
)

// keyValueStore finds a store that has one row per key.
func (h *handler) keyValueStore(r *http.Request) (store, error) {
	st, err := findStore(h.backend, r.PathValue("s"))
	if err == nil && st.spec.Kind == state.KindWindow {
		p := problem(CodeBadRequest, fmt.Sprintf("store %s has a row per key and window: use /v1/stores/%s/windows?key=...", st.name, st.name))
		p.Store = st.name
		return store{}, p
	}
	return st, err
}

func (h *handler) getKey(w http.ResponseWriter, r *http.Request, q params) (err error) {
	st, err := h.keyValueStore(r)
	if err != nil {
		return err
	}
	key, err := keyParam(st, q)
	if err != nil {
		return err
	}
	partition, err := st.partition(h.backend, key)
	if err != nil {
		return err
	}
	v, err := st.view(h.backend, partition)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	found, ok, err := lookup(v, 0, key)
	if err != nil {
		return err
	}
	if !ok {
		p := problem(CodeKeyNotFound, fmt.Sprintf("store %s has no row of this key", st.name))
		p.Store, p.Partition, p.Position = st.name, &v.Partition, positionOf(v)
		return p
	}
	a := newAnswer()
	a.field("store", st.name)
	a.field("partition", v.Partition)
	a.field("position", positionOf(v))
	a.rowFields(st, found)
	setPosition(w.Header(), positionOf(v))
	a.send(w)
	return nil
}

// keyParam reads the parameters key and enc.
func keyParam(st store, q params) ([]byte, error) {
	enc, err := st.key.encoding(q.get("enc"))
	if err != nil {
		return nil, err
	}
	if !q.has("key") {
		return nil, badParameter("key", "missing")
	}
	key, err := st.key.parse(enc, q.get("key"))
	if err != nil {
		return nil, badParameter("key", fmt.Sprintf("not a key as %s: %v", enc, err))
	}
	return key, nil
}
