package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// readJSON reads one JSON object from a body. Unknown fields are refused, as
// unknown parameters are.
func readJSON(body io.Reader, into any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, extra := d.Token(); !errors.Is(extra, io.EOF) {
			err = errors.New("something follows the JSON object")
			var tooLarge *http.MaxBytesError
			if errors.As(extra, &tooLarge) {
				err = extra
			}
		}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return problem(CodeTooLarge, fmt.Sprintf("the body is larger than %d bytes: send it in parts", tooLarge.Limit))
	}
	return badParameter("body", err.Error())
}
