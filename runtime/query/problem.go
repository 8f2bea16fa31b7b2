package query

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/state"
)

// Code is the stable name of an error, for programs to decide on.
type Code string

// The codes of a [Problem].
const (
	CodeBadRequest       Code = "BAD_REQUEST"
	CodeUnauthorized     Code = "UNAUTHORIZED"
	CodeForbidden        Code = "FORBIDDEN"
	CodeNotFound         Code = "NOT_FOUND"
	CodeKeyNotFound      Code = "KEY_NOT_FOUND"
	CodeStoreNotFound    Code = "STORE_NOT_FOUND"
	CodeTopicNotFound    Code = "TOPIC_NOT_FOUND"
	CodeMethodNotAllowed Code = "METHOD_NOT_ALLOWED"
	CodeCursorExpired    Code = "CURSOR_EXPIRED"
	CodePositionTrimmed  Code = "POSITION_TRIMMED"
	CodeTooLarge         Code = "TOO_LARGE"
	CodeBudget           Code = "BUDGET"
	CodeInternal         Code = "INTERNAL"
	CodeUnknownOutcome   Code = "UNKNOWN_OUTCOME"
	CodeNotActive        Code = "NOT_ACTIVE"
	CodeReadOnly         Code = "READ_ONLY"
	CodeDeadline         Code = "DEADLINE"
)

// Problem is an error as it is sent: application/problem+json (RFC 9457). Fields
// after Detail are there where they help.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   Code   `json:"code"`
	// Detail says what is wrong and what to do next.
	Detail string `json:"detail"`

	Parameter string   `json:"parameter,omitempty"` // that is wrong
	Store     string   `json:"store,omitempty"`
	Stores    []string `json:"stores,omitempty"` // that there are
	Topic     string   `json:"topic,omitempty"`
	Partition *int32   `json:"partition,omitempty"`
	// Position is what the answer reflects: the key was absent then.
	Position Position `json:"position,omitempty"`
	// Earliest is the first offset that the partition still has.
	Earliest *int64       `json:"earliest,omitempty"`
	Progress []TaskHealth `json:"progress,omitempty"` // of the tasks being restored

	allow string // header of METHOD_NOT_ALLOWED
	retry bool   // whether trying again soon makes sense
	// cause is not shown, as its text may hold paths.
	cause error
}

var statuses = map[Code]int{
	CodeBadRequest: 400, CodeUnauthorized: 401, CodeForbidden: 403, CodeNotFound: 404, CodeKeyNotFound: 404,
	CodeStoreNotFound: 404, CodeTopicNotFound: 404, CodeMethodNotAllowed: 405, CodeCursorExpired: 409,
	CodePositionTrimmed: 410, CodeTooLarge: 413, CodeBudget: 429, CodeInternal: 500, CodeUnknownOutcome: 500,
	CodeNotActive: 503, CodeReadOnly: 503, CodeDeadline: 504,
}

func problem(code Code, detail string) *Problem {
	status := statuses[code]
	return &Problem{
		Type:  "urn:tidemill:problem:" + strings.ReplaceAll(strings.ToLower(string(code)), "_", "-"),
		Title: http.StatusText(status), Status: status, Code: code, Detail: detail,
		retry: status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable,
	}
}

func badParameter(name, detail string) *Problem {
	p := problem(CodeBadRequest, "parameter "+name+": "+detail)
	p.Parameter = name
	return p
}

// Error implements error.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// Unwrap returns what caused the problem, if it is known.
func (p *Problem) Unwrap() error { return p.cause }

// retryAfter is in seconds: restoring tasks and crowded servers change that fast.
const retryAfter = "1"

// write sends the problem. It is the only place that does.
func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	if p.retry {
		h.Set("Retry-After", retryAfter)
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.Position != nil {
		setPosition(h, p.Position)
	}
	body, err := json.Marshal(p)
	if err != nil { // no field can fail to encode
		http.Error(w, string(p.Code), p.Status)
		return
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // nobody is left to tell if the client is gone
}

// known maps errors of the layers below to what a client can do about them.
var known = []struct {
	err    error
	code   Code
	detail string // "" shows the text of the error
}{
	{ErrNotActive, CodeNotActive, "the partition is being restored or moves to another instance: try again soon"},
	{state.ErrStoreDead, CodeNotActive, "the state store met a fault and is being rebuilt: try again soon"},
	{state.ErrEngineClosed, CodeNotActive, "the state store is closed, because its task stops or moves: try again soon"},
	{commitlog.ErrClosed, CodeNotActive, "the log is closed, because the application stops"},
	{commitlog.ErrLowSpace, CodeReadOnly, commitlog.ErrLowSpace.Error()},
	{commitlog.ErrReadOnly, CodeReadOnly, commitlog.ErrReadOnly.Error()},
	{commitlog.ErrTooLarge, CodeTooLarge, ""},
	{commitlog.ErrUnknownTopic, CodeTopicNotFound, "there is no such topic or partition; GET /v1/topics lists them"},
	{commitlog.ErrUnknownOutcome, CodeUnknownOutcome, "the records may or may not have been written: read the topic before you send them again"},
	{context.DeadlineExceeded, CodeDeadline, "the answer took too long: ask for less, or try again"},
}

// problemOf turns any error into what is sent. An unknown one is shown without
// its text, which may name files of this machine; the caller logs it.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			detail := k.detail
			if detail == "" {
				detail = err.Error()
			}
			p = problem(k.code, detail)
			p.cause = err
			return p
		}
	}
	p = problem(CodeInternal, "the request failed inside the application; its log says why")
	p.cause = err
	return p
}
