package changelog

import (
	"encoding/json"
	"fmt"
)

// RegistryVersion is the version of the registry of writers that this program
// writes, and the newest that it reads.
const RegistryVersion = 1

// Registry says which writers of workers may still have a transaction open. It is
// the value of one record in the registry topic, as JSON.
type Registry struct {
	Version int `json:"version"`
	// Writers are by writer id. A writer is entered before its process asks for
	// tasks, and removed after somebody else has fenced it.
	Writers map[string]RegisteredWriter `json:"writers"`
}

// RegisteredWriter is a writer at the time when it was entered.
type RegisteredWriter struct {
	Instance string `json:"instance"`
	Epoch    int64  `json:"epoch"` // grows with every holder of the id
}

// Enter adds a writer. Of two entries of one id the one of the later epoch counts,
// whatever the order in which they come.
func (r *Registry) Enter(id string, w RegisteredWriter) {
	if have, ok := r.Writers[id]; ok && have.Epoch >= w.Epoch {
		return
	}
	if r.Writers == nil {
		r.Writers = map[string]RegisteredWriter{}
	}
	r.Writers[id] = w
}

// Fenced removes a writer that somebody has fenced by taking an epoch of its id,
// unless it has been entered anew since.
func (r *Registry) Fenced(id string, epoch int64) {
	if have, ok := r.Writers[id]; ok && have.Epoch < epoch {
		delete(r.Writers, id)
	}
}

// Encode returns the bytes of the record's value.
func (r Registry) Encode() ([]byte, error) {
	r.Version = RegistryVersion
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("registry of writers: %w", err)
	}
	return b, nil
}

// DecodeRegistry reads the record; an empty value is an empty registry.
func DecodeRegistry(value []byte) (Registry, error) {
	var r Registry
	if len(value) == 0 {
		return r, nil
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return r, fmt.Errorf("registry of writers: %w", err)
	}
	if r.Version > RegistryVersion || r.Version < 1 {
		return r, fmt.Errorf("the registry of writers has version %d, this program reads versions 1 to %d; run a newer tidemill",
			r.Version, RegistryVersion)
	}
	return r, nil
}
