package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/topology"
)

func subscribe(t *testing.T, app *runtime.App, topic topology.Topic[string, int64], group string) *runtime.Subscription[string, int64] {
	t.Helper()
	s, err := runtime.Subscribe(t.Context(), app, topic, group)
	must(t, err)
	return s
}

// next reads n values.
func next(t *testing.T, s *runtime.Subscription[string, int64], n int) (values []int64) {
	t.Helper()
	for range n {
		r, err := s.Next(t.Context())
		must(t, err)
		values = append(values, r.Value)
	}
	return values
}

// A group resumes behind its last commit, in the middle of a batch too, and
// groups do not know of each other.
func TestSubscriptionResumes(t *testing.T) {
	app := idleApp(t, runtime.Config{})
	importOrders(t, app, 10)
	s := subscribe(t, app, orders, "readers")
	next(t, s, 4)
	must(t, s.Commit(t.Context()))
	next(t, s, 3)
	must(t, s.Close()) // without a commit
	s = subscribe(t, app, orders, "readers")
	if got := next(t, s, 6); !slices.Equal(got, []int64{4, 5, 6, 7, 8, 9}) {
		t.Errorf("resumed with %v, want 4 to 9", got)
	}
	must(t, s.Commit(t.Context()))
	must(t, s.Close())
	for group, want := range map[string]int64{"others": 0, "": 0} {
		s := subscribe(t, app, orders, group)
		if got := next(t, s, 1); got[0] != want {
			t.Errorf("group %q began with %v", group, got)
		}
		if err := s.Commit(t.Context()); (err != nil) != (group == "") {
			t.Errorf("group %q: commit: %v", group, err)
		}
		must(t, s.Close())
	}
	importOrders(t, app, 1)
	s = subscribe(t, app, orders, "readers")
	defer s.Close()
	if got := next(t, s, 1); got[0] != 10 {
		t.Errorf("the committed end was not kept: %v", got)
	}
}

func TestSubscriptionBeginning(t *testing.T) {
	app := idleApp(t, runtime.Config{})
	importOrders(t, app, 5)
	latest, none := orders, orders
	latest.Reset, none.Reset = topology.Latest, topology.None
	s := subscribe(t, app, latest, "")
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if r, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Latest gave %v, %v; want to wait", r, err)
	}
	importOrders(t, app, 1)
	if got := next(t, s, 1); got[0] != 5 {
		t.Errorf("Latest began with %v, want 5", got)
	}
	if _, err := runtime.Subscribe(t.Context(), app, none, "new"); err == nil || !strings.Contains(err.Error(), "orders-0") {
		t.Errorf("None without an offset: %v", err)
	}
	if _, err := runtime.Subscribe(t.Context(), app, orders, "counting"); err == nil || !strings.Contains(err.Error(), "another name") {
		t.Errorf("the group of the application: %v", err)
	}
	missing := orders
	missing.Name = "missing"
	if _, err := runtime.Subscribe(t.Context(), app, missing, ""); !errors.Is(err, commitlog.ErrUnknownTopic) {
		t.Errorf("a missing topic: %v", err)
	}
}

// A record that does not decode is told and passed over.
func TestSubscriptionPassesOverBadRecords(t *testing.T) {
	app := idleApp(t, runtime.Config{})
	var records []query.Produced
	for i := range byte(6) {
		value := []byte{0, 0, 0, 0, 0, 0, 0, i}
		if i%2 == 1 {
			value = []byte("bad")
		}
		records = append(records, query.Produced{Key: fmt.Appendf(nil, "k%d", i), Value: value, Time: time.UnixMilli(1)})
	}
	_, err := app.Produce(t.Context(), orders.Name, records)
	must(t, err)
	s := subscribe(t, app, orders, "readers")
	var good, bad []int64
	for range records {
		r, err := s.Next(t.Context())
		var undecoded *runtime.DecodeError
		switch {
		case err == nil:
			good = append(good, r.Value)
		case errors.As(err, &undecoded):
			bad = append(bad, undecoded.Origin.Offset)
			must(t, s.Commit(t.Context()))
		default:
			t.Fatal(err)
		}
	}
	if !slices.Equal(good, []int64{0, 2, 4}) || !slices.Equal(bad, []int64{1, 3, 5}) {
		t.Errorf("good values %v, bad offsets %v", good, bad)
	}
	must(t, s.Close())
	importOrders(t, app, 1)
	s = subscribe(t, app, orders, "readers")
	defer s.Close()
	if r, err := s.Next(t.Context()); err != nil || r.Origin.Offset != 6 {
		t.Errorf("after a commit behind a bad record: %v, %v", r, err)
	}
}

// A second subscription of a group fences the first.
func TestSubscriptionIsFenced(t *testing.T) {
	app := idleApp(t, runtime.Config{})
	importOrders(t, app, 2)
	first := subscribe(t, app, orders, "readers")
	defer first.Close()
	next(t, first, 1)
	second := subscribe(t, app, orders, "readers")
	defer second.Close()
	if err := first.Commit(t.Context()); !errors.Is(err, commitlog.ErrFenced) || !strings.Contains(err.Error(), "readers") {
		t.Errorf("commit of the first: %v, want that it is fenced", err)
	}
	next(t, second, 2)
	must(t, second.Commit(t.Context()))
}
