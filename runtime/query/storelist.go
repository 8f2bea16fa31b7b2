package query

import (
	"net/http"

	"github.com/tidemill/tidemill/state"
)

// StoreInfo describes a store, as GET /v1/stores lists it.
type StoreInfo struct {
	Name       string `json:"name"`
	Kind       string `json:"kind"`        // key-value or window
	Key        string `json:"key_serde"`   // name of the serde
	Value      string `json:"value_serde"` // name of the serde
	Partitions int32  `json:"partitions"`
	// Window is the length of a row's window and Retention how long a row is kept
	// after its start, in milliseconds; 0: not a window store, or not known while
	// no partition is active.
	Window    int64 `json:"window_ms,omitempty"`
	Retention int64 `json:"retention_ms,omitempty"`
}

func (h *handler) listStores(w http.ResponseWriter, _ *http.Request, _ params) error {
	stores, err := h.storeInfos()
	if err != nil {
		return err
	}
	return sendJSON(w, http.StatusOK, struct {
		App    string      `json:"app"`
		Stores []StoreInfo `json:"stores"`
	}{h.backend.App(), stores})
}

func (h *handler) storeInfos() ([]StoreInfo, error) {
	infos := []StoreInfo{}
	for _, name := range sortedNames(h.backend.Handles()) {
		st, err := findStore(h.backend, name)
		if err != nil {
			return nil, err
		}
		spec, err := h.fullSpec(st)
		if err != nil {
			return nil, err
		}
		infos = append(infos, StoreInfo{
			Name: spec.Name, Kind: spec.Kind.String(), Key: spec.Key, Value: spec.Value, Partitions: st.partitions,
			Window: spec.WindowSize.Milliseconds(), Retention: spec.Retention.Milliseconds(),
		})
	}
	return infos, nil
}

// fullSpec is the spec with what the topology filled in, which only a view has.
func (h *handler) fullSpec(st store) (state.Spec, error) {
	if st.spec.Kind != state.KindWindow {
		return st.spec, nil
	}
	for _, p := range st.all() {
		v, err := h.backend.Snapshot(st.name, p)
		if err != nil {
			continue // a list does not fail for a partition that is not active
		}
		return v.Spec, v.Close()
	}
	return st.spec, nil
}
