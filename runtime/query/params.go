package query

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// params are the parameters of a request. One that is not known or is given
// twice is an error: ignoring a misspelt "form=" would answer another question.
type params struct{ values url.Values }

func parseParams(rawQuery string, allowed []string) (params, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return params{}, problem(CodeBadRequest, "the query string is malformed: escape its values")
	}
	for name, given := range values {
		if !slices.Contains(allowed, name) {
			return params{}, badParameter(clip(name), "unknown here; "+knownParams(allowed))
		}
		if len(given) > 1 {
			return params{}, badParameter(name, "given more than once")
		}
	}
	return params{values}, nil
}

func knownParams(allowed []string) string {
	if len(allowed) == 0 {
		return "there are none"
	}
	return "known are " + strings.Join(allowed, ", ")
}

// clip bounds what of a request is repeated in an answer.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}

func (p params) has(name string) bool   { return p.values.Has(name) }
func (p params) get(name string) string { return p.values.Get(name) }

func (p params) bool(name string) (bool, error) {
	switch p.get(name) {
	case "":
		return p.has(name), nil // "?reverse" alone means yes
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, badParameter(name, "want true or false")
}

// number returns the parameter, or def if it is absent.
func (p params) number(name string, def, least, most int64) (int64, error) {
	if !p.has(name) {
		return def, nil
	}
	n, err := strconv.ParseInt(p.get(name), 10, 64)
	if err != nil || n < least || n > most {
		return 0, badParameter(name, fmt.Sprintf("want a whole number from %d to %d", least, most))
	}
	return n, nil
}

// time returns milliseconds since the epoch, or def if the parameter is absent.
func (p params) time(name string, def int64) (int64, error) {
	if !p.has(name) {
		return def, nil
	}
	ms, err := parseTime(p.get(name))
	if err != nil {
		return 0, badParameter(name, err.Error())
	}
	return ms, nil
}

// parseTime reads RFC 3339 or milliseconds since the epoch.
func parseTime(text string) (int64, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return ms, nil
	}
	// A query string turns the plus of a time zone into a space.
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(text, " ", "+", 1))
	if err != nil {
		return 0, fmt.Errorf("want a time as RFC 3339 or in milliseconds since 1970")
	}
	return t.UnixMilli(), nil
}
