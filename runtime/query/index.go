package query

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed index.html
var indexHTML string

//go:embed style.css
var styleCSS []byte

//go:embed openapi.json
var openAPIJSON []byte

var indexTemplate = template.Must(template.New("index").Parse(indexHTML))

// index is what a person sees who opens the address in a browser. It has no
// script and loads nothing from elsewhere, so the strictest policy lets it work.
func (h *handler) index(w http.ResponseWriter, r *http.Request, _ params) error {
	stores, err := h.storeInfos()
	if err != nil {
		return err
	}
	// The page is for looking at what is wrong too: without the log it lists the
	// stores all the same.
	topics, topicsErr := h.topicInfos(r.Context(), false)
	var page bytes.Buffer
	err = indexTemplate.Execute(&page, map[string]any{
		"App": h.backend.App(), "Instance": h.opts.Instance, "Health": h.backend.Health(), "Stores": stores,
		"Topics": topics, "TopicsFailed": topicsErr != nil, "Metrics": h.opts.Metrics != nil,
	})
	if err != nil {
		return err
	}
	sendBytes(w, http.StatusOK, "text/html; charset=utf-8", page.Bytes())
	return nil
}

func (h *handler) style(w http.ResponseWriter, _ *http.Request, _ params) error {
	sendBytes(w, http.StatusOK, "text/css; charset=utf-8", styleCSS)
	return nil
}

func (h *handler) openAPI(w http.ResponseWriter, _ *http.Request, _ params) error {
	sendBytes(w, http.StatusOK, "application/json", openAPIJSON)
	return nil
}
