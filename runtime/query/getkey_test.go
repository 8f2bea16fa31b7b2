package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/state"
)

func TestGetKey(t *testing.T) {
	h := NewHandler(filled(t), testOptions())
	tests := []struct {
		query  string
		status int
		want   string // a part of the answer
	}{
		{"people/key?key=ada", 200, `"key":"ada","value":{"name":"ada","age":33}`},
		{"people/key?key=ada", 200, `"time":"2023-11-14T22:13:20.000Z"`},
		{"people/key?key=dan/..%252f", 200, `"key":"dan/..%2f"`},
		{`people/key?enc=json&key=%22ada%22`, 200, `"key":"ada"`},
		{"people/key?enc=b64&key=YWRh", 200, `"key":"ada"`},
		{"numbers/key?key=3", 200, `"key":3,"value":9`},
		{"numbers/key?key=3&enc=json", 200, `"value":9`},
		{"blobs/key?key=/z4=", 200, `"key_base64":"/z4=","value_base64":"AQID"`},
		{"blobs/key?key=_z4", 200, `"value_base64":"AQID"`},
		{"people/key?key=", 404, `KEY_NOT_FOUND`},
		{"people/key?key=zoe", 404, `"position":{`},
		{"people/key?key=ada&key=bob", 400, `more than once`},
		{"numbers/key?key=three", 400, `"parameter":"key"`},
		{"people/key?enc=json&key=ada", 400, `"parameter":"key"`},
		{"people/key?enc=b64&key=%21", 400, `"parameter":"key"`},
		{"people/key?enc=utf16&key=a", 400, `"parameter":"enc"`},
		{"blobs/key?enc=text&key=a", 400, `"parameter":"enc"`},
		{"blobs/key?enc=json&key=a", 400, `"parameter":"enc"`},
		{"people/key", 400, `"parameter":"key"`},
		{"people/key?key=%zz", 400, `BAD_REQUEST`},
		{"hourly/key?key=m1", 400, `/windows?key=`},
		{"people/windows?key=m1", 400, `/key or /scan`},
		{"hourly/windows?key=m1&from=yesterday", 400, `"parameter":"from"`},
		{"hourly/windows?from=5&to=4", 400, `"parameter":"to"`},
		{"hourly/windows?enc=b64", 400, `"parameter":"enc"`},
		{"hourly/scan?from=m1", 400, `"parameter":"from"`},
		{"people/scan?limit=0", 400, `"parameter":"limit"`},
		{"people/scan?limit=10001", 400, `"parameter":"limit"`},
		{"people/scan?partition=3", 400, `"parameter":"partition"`},
		{"people/scan?reverse=maybe", 400, `"parameter":"reverse"`},
		{"numbers/scan?from=x", 400, `"parameter":"from"`},
		{"nothing/scan", 404, `"stores":["blobs","hourly","numbers","people","totals"]`},
	}
	for _, tt := range tests {
		w := do(h, "GET", "/v1/stores/"+tt.query, "")
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %s\nwant %d with %s", tt.query, w.Code, w.Body, tt.status, tt.want)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: the answer is not JSON: %s", tt.query, w.Body)
		}
	}
	w := do(h, "GET", "/v1/stores/people/key?key=ada", "")
	p := commitlog.Murmur2([]byte("ada"), fakePartitions)
	if want := fmt.Sprintf(`{"%d":{"visits":%d}}`, p, 100+p); w.Header().Get("Position") != want {
		t.Errorf("Position is %s, want %s", w.Header().Get("Position"), want)
	}
}

func TestBatchGet(t *testing.T) {
	f := filled(t)
	h := NewHandler(f, Options{})
	post := func(store, body string) (string, int) {
		w := do(h, "POST", "/v1/stores/"+store+"/batchGet", body)
		f.checkClosed(t)
		return w.Body.String(), w.Code
	}
	body, status := post("numbers", `{"keys":["2",3,"no",null,99,"1"]}`)
	var got struct {
		Rows []struct {
			Value int64
			Error *struct{ Code Code }
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || len(got.Rows) != 6 {
		t.Fatalf("%d %v %s", status, err, body)
	}
	for i, want := range []any{int64(4), int64(9), CodeBadRequest, CodeBadRequest, CodeKeyNotFound, int64(1)} {
		row := got.Rows[i]
		if code, bad := want.(Code); bad && (row.Error == nil || row.Error.Code != code) || !bad && row.Value != want {
			t.Errorf("row %d is %+v, want %v", i, row, want)
		}
	}
	many := func(n int) string { return `{"keys":[` + strings.TrimSuffix(strings.Repeat(`"ada",`, n), ",") + `]}` }
	for body, want := range map[string]int{
		many(1000): 200, many(1001): 400, `{"keys":[]}`: 400, `{}`: 400, ``: 400, `[]`: 400, `{"keys":["a"]}{}`: 400,
		`{"keys":["a"],"encoding":"b64"}`: 400, `{"keys":"a"}`: 400, `{"keys":["a"],"enc":"x"}`: 400,
	} {
		if got, status := post("people", body); status != want {
			t.Errorf("%.40s: %d %.200s, want %d", body, status, got, want)
		}
	}
	h = NewHandler(f, Options{Limits: Limits{Examined: 2}})
	if body, _ := post("people", `{"keys":["ada","bob","cy","eve"]}`); strings.Count(body, `"BUDGET"`) != 2 {
		t.Errorf("two keys are to be beyond the budget: %s", body)
	}
	f.inactive[commitlog.Murmur2([]byte("ada"), fakePartitions)] = ErrNotActive
	h = NewHandler(f, Options{})
	if body, status := post("people", `{"keys":["ada"]}`); status != 200 || !strings.Contains(body, "NOT_ACTIVE") {
		t.Errorf("an inactive partition is an error of its keys only: %d %s", status, body)
	}
}

func TestErrorsOfTheStore(t *testing.T) {
	tests := []struct {
		err    error
		status int
		code   Code
	}{
		{fmt.Errorf("task app-1: %w", ErrNotActive), 503, CodeNotActive},
		{state.ErrStoreDead, 503, CodeNotActive},
		{state.ErrEngineClosed, 503, CodeNotActive},
		{context.DeadlineExceeded, 504, CodeDeadline},
		{errPlanted, 500, CodeInternal},
	}
	for _, tt := range tests {
		f := filled(t)
		f.health.Tasks = append(f.health.Tasks, TaskHealth{Task: "app-1", State: "restoring", ToGo: 12})
		f.inactive[1] = tt.err
		h := NewHandler(f, Options{Log: quiet()})
		for _, path := range []string{"people/scan", "people/scan?partition=1", "hourly/windows", "people/key?key=" + keyOn(1), "hourly/windows?key=" + keyOn(1)} {
			w := do(h, "GET", "/v1/stores/"+path, "")
			p := wantProblem(t, w, tt.status, tt.code)
			if tt.status == 503 && (len(p.Progress) != 1 || p.Progress[0].ToGo != 12 || *p.Partition != 1 || w.Header().Get("Retry-After") == "") {
				t.Errorf("%s: the problem has no progress or partition: %+v", path, p)
			}
			f.checkClosed(t)
		}
		if w := do(h, "GET", "/v1/stores/people/scan?partition=0", ""); w.Code != 200 {
			t.Errorf("the other partitions do not answer: %d", w.Code)
		}
		if w := do(h, "GET", "/v1/stores", ""); w.Code != 200 {
			t.Errorf("the list of stores fails for one partition: %d", w.Code)
		}
	}
}

// keyOn returns a key of a partition.
func keyOn(partition int32) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("k", i); commitlog.Murmur2([]byte(key), fakePartitions) == partition {
			return key
		}
	}
}

func TestDeadlineOfTheRequest(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	late := func(r *http.Request) { *r = *r.WithContext(ctx) }
	f := filled(t)
	for _, path := range []string{"people/scan", "hourly/windows?key=m1", "hourly/windows"} {
		wantProblem(t, do(NewHandler(f, Options{}), "GET", "/v1/stores/"+path, "", late), 504, CodeDeadline)
	}
	f.checkClosed(t)
}

func TestHealth(t *testing.T) {
	f := newFake()
	f.health = Health{Live: true, Reason: []string{"task app-0 is restoring"}}
	h := NewHandler(f, Options{})
	if w := do(h, "GET", "/readyz", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "app-0 is restoring") || w.Header().Get("Retry-After") == "" {
		t.Errorf("/readyz: %d %s", w.Code, w.Body)
	}
	if w := do(h, "GET", "/livez", ""); w.Code != 200 {
		t.Errorf("/livez: %d", w.Code)
	}
	f.health = Health{}
	if w := do(h, "GET", "/livez", ""); w.Code != 503 {
		t.Errorf("/livez: %d", w.Code)
	}
}

func TestIndexEscapes(t *testing.T) {
	f := filled(t)
	f.health.Reason = []string{`<script>alert(1)</script>`}
	body := do(NewHandler(f, testOptions()), "GET", "/", "").Body.String()
	if strings.Contains(body, "<script") {
		t.Error("a reason is not escaped")
	}
	for _, want := range []string{"/v1/stores/hourly/windows", "/v1/stores/people/scan", "/v1/topics/visits/records", "/metrics", "alert(1)"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Contains(body, "style=") || strings.Contains(body, "://") {
		t.Error("the page has inline styles or loads from elsewhere")
	}
}

func TestProblemUnwraps(t *testing.T) {
	f := filled(t)
	f.inactive[1] = fmt.Errorf("task app-1: %w", ErrNotActive)
	_, _, _, err := Get(t.Context(), f, people, keyOn(1))
	var p *Problem
	if !errors.Is(err, ErrNotActive) || !errors.As(err, &p) || p.Code != CodeNotActive {
		t.Errorf("error is %v", err)
	}
}
