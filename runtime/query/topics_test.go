package query

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

type shownRecords struct {
	Start   int64 `json:"start_offset"`
	End     int64 `json:"end_offset"`
	Next    int64 `json:"next_offset"`
	Records []struct {
		Offset      int64
		Time        string
		Key, Value  json.RawMessage
		ValueBase64 string `json:"value_base64"`
	}
}

func TestReadTopic(t *testing.T) {
	f := newFake()
	f.log.start = 10
	for i := range 7 {
		f.log.append(commitlog.TopicPartition{Topic: "visits", Partition: 1}, Produced{Key: fmt.Append(nil, i), Value: []byte(`{}`), Time: time.UnixMilli(int64(i))})
	}
	h := NewHandler(f, Options{})
	for query, want := range map[string]struct {
		offsets string
		next    int64
	}{
		"?partition=1":                     {"10 11 12 13 14 15 16", 17},
		"?partition=1&limit=3":             {"10 11 12", 13},
		"?partition=1&offset=13&limit=2":   {"13 14", 15},
		"?partition=1&offset=-2":           {"15 16", 17},
		"?partition=1&offset=-99&limit=1":  {"10", 11},
		"?partition=1&offset=17":           {"", 17},
		"?partition=0":                     {"", 10},
		"?partition=1&offset=16&limit=100": {"16", 17},
	} {
		w := do(h, "GET", "/v1/topics/visits/records"+query, "")
		var got shownRecords
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %v %s", query, w.Code, err, w.Body)
		}
		var offsets []string
		for _, r := range got.Records {
			offsets = append(offsets, fmt.Sprint(r.Offset))
		}
		if strings.Join(offsets, " ") != want.offsets || got.Next != want.next || got.Start != 10 {
			t.Errorf("%s: offsets %v, next %d, want %+v", query, offsets, got.Next, want)
		}
	}
	for query, want := range map[string]Code{
		"?offset=9": CodePositionTrimmed, "?offset=18": CodeBadRequest, "?partition=2": CodeBadRequest,
		"?partition=-1": CodeBadRequest, "?limit=x": CodeBadRequest, "?offset=end": CodeBadRequest,
	} {
		w := do(h, "GET", "/v1/topics/visits/records"+query, "")
		wantProblem(t, w, statuses[want], want)
	}
	h = NewHandler(f, Options{Limits: Limits{Bytes: 200}})
	w := do(h, "GET", "/v1/topics/visits/records?partition=1", "")
	var got shownRecords
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Records) == 0 || got.Next >= 17 || got.Next != 10+int64(len(got.Records)) {
		t.Errorf("a small budget gives %d records, next %d, %v", len(got.Records), got.Next, err)
	}
}

func TestListTopics(t *testing.T) {
	h := NewHandler(newFake(), Options{})
	plain, all := do(h, "GET", "/v1/topics", "").Body.String(), do(h, "GET", "/v1/topics?internal", "").Body.String()
	for _, name := range []string{"by-name", "app-people-changelog"} {
		if strings.Contains(plain, name) || !strings.Contains(all, name) {
			t.Errorf("internal topic %s: %s\n%s", name, plain, all)
		}
	}
}

func TestAppend(t *testing.T) {
	f := newFake()
	h := NewHandler(f, Options{})
	post := func(topic, records string) (int, string) {
		w := do(h, "POST", "/v1/topics/"+topic+"/records", `{"records":[`+records+`]}`)
		return w.Code, w.Body.String()
	}
	status, body := post("visits", `{"key":"k","value":{"age":2,"name":"x"},"time":"1970-01-01T00:00:05Z","partition":1},{"key_base64":"aw","value_base64":"e30","time":7,"partition":1}`)
	if status != 200 || !strings.Contains(body, `"records":[{"partition":1,"offset":0},{"partition":1,"offset":1}]`) {
		t.Fatalf("%d %s", status, body)
	}
	read := do(h, "GET", "/v1/topics/visits/records?partition=1", "").Body.String()
	for _, want := range []string{`"time":"1970-01-01T00:00:05.000Z","key":"k","value":{"name":"x","age":2}`, `"time":"1970-01-01T00:00:00.007Z"`} {
		if !strings.Contains(read, want) {
			t.Errorf("records are %s\nwant %s", read, want)
		}
	}
	if status, body := post("raw", `{"value_base64":"AA=="},{}`); status != 200 {
		t.Errorf("an undeclared topic: %d %s", status, body)
	}
	for name, tt := range map[string]struct {
		topic, records string
		status         int
		want           string
	}{
		"none":                {"visits", ``, 400, "1 to 1000"},
		"null value":          {"visits", `{"key":"k","value":null}`, 400, "records[0]"},
		"no value":            {"visits", `{"key":"k"}`, 400, "value is missing"},
		"no key":              {"visits", `{"value":{}}`, 400, "key is missing"},
		"both forms":          {"visits", `{"key":"k","key_base64":"aw","value":{}}`, 400, "not both"},
		"wrong type":          {"visits", `{"key":"k","value":3}`, 400, "records[0]"},
		"unknown value field": {"visits", `{"key":"k","value":{"nmae":"x"}}`, 400, "nmae"},
		"bad base64":          {"visits", `{"key":"k","value_base64":"*"}`, 400, "value_base64"},
		"undecodable base64":  {"visits", `{"key":"k","value_base64":"eyE"}`, 400, "value_base64"},
		"second is bad":       {"visits", `{"key":"k","value":{}},{"key":1,"value":{}}`, 400, "records[1]"},
		"partition":           {"visits", `{"key":"k","value":{},"partition":2}`, 400, "partition 2"},
		"negative time":       {"visits", `{"key":"k","value":{},"time":-1}`, 400, "before 1970"},
		"bad time":            {"visits", `{"key":"k","value":{},"time":"now"}`, 400, "time"},
		"unknown field":       {"visits", `{"key":"k","value":{},"offset":1}`, 400, "offset"},
		"JSON for base64":     {"raw", `{"value":"x"}`, 400, "value_base64"},
		"repartition topic":   {"by-name", `{"key":"k","value":"v"}`, 403, "belongs to the application"},
		"changelog":           {"app-people-changelog", `{"key_base64":"aw"}`, 403, "belongs to the application"},
		"unknown topic":       {"nothing", `{}`, 404, "TOPIC_NOT_FOUND"},
	} {
		if status, body := post(tt.topic, tt.records); status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %s\nwant %d with %s", name, status, body, tt.status, tt.want)
		}
	}
	if n := len(f.log.batches[commitlog.TopicPartition{Topic: "visits"}]); n != 0 {
		t.Errorf("%d records of refused requests were appended", n)
	}
	for err, want := range map[error]Code{
		commitlog.ErrLowSpace: CodeReadOnly, commitlog.ErrReadOnly: CodeReadOnly, commitlog.ErrTooLarge: CodeTooLarge,
		commitlog.ErrUnknownOutcome: CodeUnknownOutcome, context.DeadlineExceeded: CodeDeadline, ErrNotActive: CodeNotActive,
	} {
		f.appended = fmt.Errorf("writer: %w", err)
		status, body := post("visits", `{"key":"k","value":{}}`)
		if status != statuses[want] || !strings.Contains(body, string(want)) {
			t.Errorf("%v: %d %s", err, status, body)
		}
	}
}
