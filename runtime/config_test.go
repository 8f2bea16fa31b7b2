package runtime_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-multierror"

	"github.com/tidemill/tidemill/runtime"
)

// Every mistake is told, and all of them at once.
func TestConfigMistakes(t *testing.T) {
	mistakes := []struct {
		name string
		make func(*runtime.Config)
	}{
		{"Dir", func(c *runtime.Config) { c.Dir = "" }},
		{"Instance", func(c *runtime.Config) { c.Instance = "a/b" }},
		{"Workers", func(c *runtime.Config) { c.Workers = -1 }},
		{"Partitions", func(c *runtime.Config) { c.Partitions = -1 }},
		{"CommitInterval", func(c *runtime.Config) { c.CommitInterval = -1 }},
		{"CommitBytes", func(c *runtime.Config) { c.CommitBytes = -1 }},
		{"CacheBytes", func(c *runtime.Config) { c.CacheBytes = -1 }},
		{"BufferBytes", func(c *runtime.Config) { c.BufferBytes = -1 }},
		{"MaxRecordBytes", func(c *runtime.Config) { c.MaxRecordBytes = -1 }},
		{"MaxIdle", func(c *runtime.Config) { c.MaxIdle = -1 }},
		{"FlushInterval", func(c *runtime.Config) { c.FlushInterval = -1 }},
		{"Poison", func(c *runtime.Config) { c.Poison = 17 }},
	}
	all := runtime.Config{}
	for _, m := range mistakes {
		c := runtime.Config{Dir: "data", FS: vfs.NewMem()}
		m.make(&c)
		m.make(&all)
		if _, err := tryApp(t, countInto(orderCount), c); err == nil || !strings.Contains(err.Error(), "Config."+m.name) {
			t.Errorf("a wrong %s: %v", m.name, err)
		}
	}
	_, err := tryApp(t, countInto(orderCount), all)
	var list *multierror.Error
	if !errors.As(err, &list) || len(list.Errors) != len(mistakes) {
		t.Errorf("all mistakes together: %v, want %d errors", err, len(mistakes))
	}
}

// An App runs once, and one that does not run can be closed.
func TestAppRunsOnce(t *testing.T) {
	app := newApp(t, countInto(orderCount), runtime.Config{Dir: "data", FS: vfs.NewMem()})
	must(t, app.Close())
	must(t, app.Close())
	if err := app.Run(t.Context()); err == nil {
		t.Error("a closed App runs")
	}
	if err := app.WaitReady(t.Context()); !errors.Is(err, runtime.ErrNotRunning) {
		t.Errorf("WaitReady of a closed App: %v", err)
	}
}
