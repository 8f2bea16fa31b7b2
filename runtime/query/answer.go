package query

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/tidemill/tidemill/state"
)

// answer builds a JSON object field by field. Rows are appended as text, because
// values have their JSON form already.
type answer struct{ buf []byte }

func newAnswer() *answer { return &answer{append(make([]byte, 0, 1<<10), '{')} }

func (a *answer) comma() {
	if last := a.buf[len(a.buf)-1]; last != '{' && last != '[' {
		a.buf = append(a.buf, ',')
	}
}

// field appends a field of a type that always encodes: texts, numbers, positions.
func (a *answer) field(name string, v any) {
	a.comma()
	a.buf = append(strconv.AppendQuote(a.buf, name), ':')
	text, err := json.Marshal(v)
	if err != nil {
		text = []byte("null")
	}
	a.buf = append(a.buf, text...)
}

func (a *answer) encoded(c codec, name string, src []byte) {
	a.comma()
	a.buf = c.appendField(a.buf, name, src)
}

func (a *answer) time(name string, ms int64) {
	a.comma()
	a.buf = append(strconv.AppendQuote(a.buf, name), ':')
	a.buf = strconv.AppendQuote(a.buf, timestamp(ms))
}

func (a *answer) beginList(name string) {
	a.comma()
	a.buf = append(strconv.AppendQuote(a.buf, name), ':', '[')
}

func (a *answer) endList() { a.buf = append(a.buf, ']') }

func (a *answer) beginObject() {
	a.comma()
	a.buf = append(a.buf, '{')
}

func (a *answer) endObject() { a.buf = append(a.buf, '}') }

// rowFields appends the fields of a row.
func (a *answer) rowFields(st store, r row) {
	a.encoded(st.key, "key", r.key)
	if st.spec.Kind == state.KindWindow {
		a.time("start", r.start)
		if end := r.end(); end != 0 {
			a.time("end", end)
		}
	}
	a.encoded(st.value, "value", r.value)
	a.time("time", r.time)
}

func (a *answer) row(st store, r row) {
	a.beginObject()
	a.rowFields(st, r)
	a.endObject()
}

// send ends the object and sends it.
func (a *answer) send(w http.ResponseWriter) {
	a.endObject()
	sendBytes(w, http.StatusOK, "application/json", append(a.buf, '\n'))
}

func sendBytes(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // nobody is left to tell if the client is gone
}

// sendJSON sends a value of a fixed shape.
func sendJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	sendBytes(w, status, "application/json", append(body, '\n'))
	return nil
}
