package runtime_test

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/tidemill/tidemill/runtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever way Run ends, it leaves no goroutine behind.
func TestRunLeavesNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for name, listen := range map[string]string{"stopped": "127.0.0.1:0", "refused": "no such address"} {
		app := newApp(t, hourlyAverage, runtime.Config{Dir: t.TempDir(), FS: vfs.Default, Listen: listen})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := app.Run(ctx)
		cancel()
		if (err != nil) != (name == "refused") {
			t.Errorf("%s: Run: %v", name, err)
		}
	}
	app := newApp(t, countOrders, runtime.Config{Dir: "data", FS: vfs.NewMem()})
	sendOrders(t, app)
	if err := app.Run(t.Context()); err == nil {
		t.Error("a poison record did not end Run")
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func newApp(t *testing.T, build buildFunc, cfg runtime.Config) *runtime.App {
	t.Helper()
	app, err := tryApp(t, build, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return app
}
