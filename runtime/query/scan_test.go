package query

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor/serde"
)

// shownRow is a row of an answer, of any kind.
type shownRow struct {
	Key   string `json:"key"`
	Start string `json:"start"`
	End   string `json:"end"`
	Value int64  `json:"value"`
	Time  string `json:"time"`
}

type shownPage struct {
	Rows     []shownRow
	Cursor   string
	Position map[string]map[string]int64
}

// pages follows cursors until the last page and returns all rows and the number
// of pages.
func pages(t *testing.T, h http.Handler, target string) (rows []shownRow, n int) {
	t.Helper()
	cursor := ""
	for n = 1; ; n++ {
		if n > 10_000 {
			t.Fatalf("GET %s does not end", target)
		}
		at := target
		if cursor != "" {
			at += "&cursor=" + cursor
		}
		w := do(h, "GET", at, "")
		var page shownPage
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != 200 {
			t.Fatalf("GET %s: %d %v %s", at, w.Code, err, w.Body)
		}
		if len(page.Position) == 0 || w.Header().Get("Position") == "" {
			t.Errorf("GET %s: no position", at)
		}
		rows = append(rows, page.Rows...)
		if cursor = page.Cursor; cursor == "" {
			return rows, n
		}
	}
}

func (f *fake) fill(t *testing.T, r *rand.Rand, n int) (keys []string) {
	for len(keys) < n {
		key := strings.Repeat(string(rune('a'+r.IntN(4))), r.IntN(3)) + strconv.Itoa(r.IntN(500))
		if slices.Contains(keys, key) {
			continue
		}
		keys = append(keys, key)
		value, _ := serde.Int64.Append(nil, int64(len(keys)))
		f.put(t, "totals", []byte(key), value)
	}
	return keys
}

// TestScanModel compares scans with a sorted list: any range, direction, limit
// and budget gives the same rows, each once, in order.
func TestScanModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for range 60 {
		f := newFake()
		keys := f.fill(t, r, r.IntN(80))
		h := NewHandler(f, Options{Limits: Limits{Bytes: 1 + r.IntN(4000), Examined: 1 + r.IntN(100)}})
		for range 10 {
			from, to, prefix := pick(r, keys), pick(r, keys), pick(r, keys)
			if prefix != "" {
				prefix = prefix[:1]
			}
			reverse, partition := r.IntN(2) == 0, r.IntN(fakePartitions+1)-1
			var want []string
			for _, k := range sortedStrings(keys) {
				if k >= from && (to == "" || k < to) && strings.HasPrefix(k, prefix) &&
					(partition < 0 || int(f.PartitionOf("", []byte(k))) == partition) {
					want = append(want, k)
				}
			}
			q := url.Values{"limit": {strconv.Itoa(1 + r.IntN(30))}, "reverse": {fmt.Sprint(reverse)}}
			for name, v := range map[string]string{"from": from, "to": to, "prefix": prefix} {
				if v != "" {
					q.Set(name, v)
				}
			}
			if partition >= 0 {
				q.Set("partition", strconv.Itoa(partition))
			}
			if reverse {
				slices.Reverse(want)
			}
			target := "/v1/stores/totals/scan?" + q.Encode()
			rows, _ := pages(t, h, target)
			var got []string
			for _, row := range rows {
				got = append(got, row.Key)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("GET %s (seed %d)\n got %v\nwant %v", target, seed, got, want)
			}
			f.checkClosed(t)
		}
	}
}

func pick(r *rand.Rand, keys []string) string {
	if len(keys) == 0 || r.IntN(2) == 0 {
		return ""
	}
	return keys[r.IntN(len(keys))]
}

// TestWindowsModel does the same for window stores, with and without a key, with
// windows that follow no grid and with expired ones.
func TestWindowsModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		f := newFake()
		f.horizon = int64(r.IntN(200)) - 50
		type cell struct {
			start int64
			key   string
		}
		rows := map[cell]bool{}
		for range r.IntN(150) {
			c := cell{int64(r.IntN(400)), "m" + strconv.Itoa(r.IntN(12))}
			rows[c] = true
			value, _ := serde.Int64.Append(nil, c.start)
			f.putAt(t, "hourly", c.start, []byte(c.key), value)
		}
		h := NewHandler(f, Options{Limits: Limits{Bytes: 1 + r.IntN(4000), Examined: 1 + r.IntN(100)}})
		for range 10 {
			from, to := int64(r.IntN(400)), int64(400)
			to -= int64(r.IntN(int(400 - from)))
			q := url.Values{"from": {strconv.FormatInt(from, 10)}, "to": {time.UnixMilli(to).UTC().Format(time.RFC3339Nano)}, "limit": {strconv.Itoa(1 + r.IntN(20))}}
			key := ""
			if r.IntN(3) > 0 {
				key = "m" + strconv.Itoa(r.IntN(13))
				q.Set("key", key)
			}
			var want []string
			for c := range rows {
				if c.start >= from && c.start < to && c.start >= f.horizon && (key == "" || c.key == key) {
					want = append(want, fmt.Sprintf("%s %s %d", timestamp(c.start), c.key, c.start))
				}
			}
			target := "/v1/stores/hourly/windows?" + q.Encode()
			shown, _ := pages(t, h, target)
			got := []string{}
			for _, row := range shown {
				got = append(got, fmt.Sprintf("%s %s %d", row.Start, row.Key, row.Value))
			}
			if !slices.Equal(got, sortedStrings(want)) {
				t.Fatalf("GET %s (seed %d, horizon %d)\n got %v\nwant %v", target, seed, f.horizon, got, sortedStrings(want))
			}
			f.checkClosed(t)
		}
	}
}

func TestWindowScanShowsNewestFirst(t *testing.T) {
	f := filled(t)
	f.horizon = 3_600_000
	rows, _ := pages(t, NewHandler(f, Options{}), "/v1/stores/hourly/scan?reverse&limit=1")
	var got []string
	for _, r := range rows {
		got = append(got, r.Start[11:13]+r.Key+r.End[11:13])
	}
	want := "03m204 03m104 02m203 02m103 01m202 01m102"
	if strings.Join(got, " ") != want {
		t.Errorf("rows are %v, want %s", got, want)
	}
}

// TestBudgets: each budget alone ends a page, and the page makes progress.
func TestBudgets(t *testing.T) {
	f := newFake()
	f.fill(t, rand.New(rand.NewPCG(1, 2)), 100)
	for i := range int64(40) {
		value, _ := serde.Int64.Append(nil, 1)
		f.putAt(t, "hourly", 7*i, []byte("x"), value)
	}
	now := time.Unix(0, 0)
	clock := func() time.Time { now = now.Add(time.Second); return now }
	for name, opts := range map[string]Options{
		"bytes":    {Limits: Limits{Bytes: 500}},
		"examined": {Limits: Limits{Examined: 10}},
		"time":     {Limits: Limits{Time: time.Second}, Now: clock},
	} {
		h := NewHandler(f, opts)
		rows, n := pages(t, h, "/v1/stores/totals/scan?limit=10000")
		if len(rows) != 100 || n < 5 {
			t.Errorf("budget of %s: %d rows in %d pages, want 100 in 5 or more", name, len(rows), n)
		}
		rows, n = pages(t, h, "/v1/stores/hourly/windows?key=x&limit=10000")
		if len(rows) != 40 || n < 3 {
			t.Errorf("budget of %s: %d windows in %d pages, want 40 in 3 or more", name, len(rows), n)
		}
	}
	if rows, n := pages(t, NewHandler(f, Options{}), "/v1/stores/totals/scan?limit=10000"); len(rows) != 100 || n != 1 {
		t.Errorf("without a tight budget: %d rows in %d pages", len(rows), n)
	}
}

func TestCursor(t *testing.T) {
	f := filled(t)
	h := NewHandler(f, testOptions())
	const target = "/v1/stores/people/scan?limit=2"
	var page shownPagePeople
	if err := json.Unmarshal(do(h, "GET", target, "").Body.Bytes(), &page); err != nil || page.Cursor == "" {
		t.Fatalf("no cursor: %v", err)
	}
	with := func(path, cursor string) string { return path + "&cursor=" + url.QueryEscape(cursor) }
	if w := do(h, "GET", with(target, page.Cursor), ""); w.Code != 200 {
		t.Fatalf("the cursor is refused: %s", w.Body)
	}
	if w := do(h, "GET", with("/v1/stores/people/scan?limit=5", page.Cursor), ""); w.Code != 200 {
		t.Errorf("another limit is refused: %s", w.Body)
	}
	for i := range page.Cursor { // every character, so every byte
		changed := []byte(page.Cursor)
		changed[i] = "AB"[btoi(changed[i] == 'A')]
		if w := do(h, "GET", with(target, string(changed)), ""); w.Code != 409 && w.Code != 400 {
			t.Fatalf("a cursor changed at %d answers %d", i, w.Code)
		}
	}
	for _, other := range []string{
		"/v1/stores/people/scan?reverse=true", "/v1/stores/people/scan?from=a", "/v1/stores/people/scan?partition=0",
		"/v1/stores/numbers/scan?limit=2", "/v1/stores/hourly/windows?limit=2", "/v1/stores/people/scan?prefix=a",
	} {
		p := wantProblem(t, do(h, "GET", with(other, page.Cursor), ""), 400, CodeBadRequest)
		if p.Parameter != "cursor" {
			t.Errorf("GET %s names %q", other, p.Parameter)
		}
	}
	if w := do(h, "GET", with(target, ""), ""); w.Code != 200 {
		t.Errorf("an empty cursor, which is the first page, answers %d", w.Code)
	}
	for _, bad := range []string{"x", "!!!", strings.Repeat("A", 10_000), page.Cursor + "A", page.Cursor[4:]} {
		if w := do(h, "GET", with(target, bad), ""); w.Code != 400 && w.Code != 409 {
			t.Errorf("cursor %.20q answers %d", bad, w.Code)
		}
	}
	wantProblem(t, do(NewHandler(f, Options{}), "GET", with(target, page.Cursor), ""), 409, CodeCursorExpired)
	if w := do(NewHandler(f, testOptions()), "GET", with(target, page.Cursor), ""); w.Code != 200 {
		t.Errorf("an instance with the same key refuses the cursor: %s", w.Body)
	}
}

type shownPagePeople struct{ Cursor string }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestCursorHoldsNoHugeKey(t *testing.T) {
	f := newFake()
	value, _ := serde.Int64.Append(nil, 1)
	f.put(t, "totals", []byte(strings.Repeat("a", maxCursorKey)), value)
	f.put(t, "totals", []byte(strings.Repeat("b", maxCursorKey+1)), value)
	f.put(t, "totals", []byte("c"), value)
	h := NewHandler(f, Options{})
	if w := do(h, "GET", "/v1/stores/totals/scan?limit=1", ""); w.Code != 200 {
		t.Errorf("a key of the largest size: %d %.200s", w.Code, w.Body)
	}
	wantProblem(t, do(h, "GET", "/v1/stores/totals/scan?limit=2", ""), 429, CodeBudget)
	if w := do(h, "GET", "/v1/stores/totals/scan?limit=3", ""); w.Code != 200 {
		t.Errorf("another limit: %d", w.Code)
	}
}

// TestSameKeyInTwoPartitions: a processor may have written a key where it is not
// placed. Pages neither lose nor repeat such a row.
func TestSameKeyInTwoPartitions(t *testing.T) {
	for _, reverse := range []string{"false", "true"} {
		f := newFake()
		engines := slices.Clone(f.engines)
		value, _ := serde.Int64.Append(nil, 1)
		for _, db := range engines {
			f.engines = []*memDB{db, db, db}
			for _, key := range []string{"a", "b", "c"} {
				f.put(t, "totals", []byte(key), value)
			}
		}
		f.engines = engines
		rows, _ := pages(t, NewHandler(f, Options{}), "/v1/stores/totals/scan?limit=1&reverse="+reverse)
		if len(rows) != 9 || !slices.IsSortedFunc(rows, func(a, b shownRow) int {
			if reverse == "true" {
				a, b = b, a
			}
			return strings.Compare(a.Key, b.Key)
		}) {
			t.Errorf("reverse %s: rows are %v", reverse, rows)
		}
	}
}
