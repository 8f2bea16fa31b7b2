package worker_test

import (
	"testing"
	"time"

	"github.com/tidemill/tidemill/runtime/internal/worker"
)

// What others see of a task's lag grows although it does not commit.
func TestLagIsReportedWithoutACommit(t *testing.T) {
	h := oneInput(t)
	var last worker.Status
	h.cfg.Hooks.Status = func(s worker.Status) { last = s }
	h.start()
	h.send("a", sent{1, 1}, sent{2, 2}, sent{3, 3})
	h.settle()
	h.now = h.now.Add(time.Second)
	h.turn()
	if last.Lag() != 3 || len(h.commits) != 0 {
		t.Fatalf("the lag is shown as %d after %d commits, want 3 records and no commit", last.Lag(), len(h.commits))
	}
	h.must(h.w.Commit(t.Context()))
	if last.Lag() != 0 {
		t.Errorf("the lag is shown as %d after the commit", last.Lag())
	}
}
