package kafkatest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// recorder is a test that only remembers how it ended.
type recorder struct {
	ctx             context.Context
	skipped, failed string
	cleanups        []func()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool             { return r.failed != "" }
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}
func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// observe runs the body of a test.
func observe(t *testing.T, body func(TB)) *recorder {
	r := &recorder{ctx: t.Context()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		body(r)
	}()
	<-done
	return r
}

// Without a broker for tests both ways to one skip, and say how to get one.
func TestSkipWithoutABroker(t *testing.T) {
	t.Setenv(AddressEnv, "")
	for name, body := range map[string]func(TB){
		"Address": func(t TB) { Address(t) },
		"Own":     func(t TB) { Own(t, Options{}) },
	} {
		r := observe(t, body)
		if r.failed != "" || !strings.Contains(r.skipped, "TIDEMILL_KAFKA=host:port") || !strings.Contains(r.skipped, "dev kafka") {
			t.Errorf("%s: skipped %q, failed %q", name, r.skipped, r.failed)
		}
	}
}

func TestAddressFromTheEnvironment(t *testing.T) {
	t.Setenv(AddressEnv, "a:1,b:2")
	if got := Address(t); got != "a:1,b:2" {
		t.Errorf("address %q", got)
	}
}

// Where a broker is wanted, one that does not start is a failure, never a skip.
func TestBrokerThatCannotStartFailsTheTest(t *testing.T) {
	t.Setenv(AddressEnv, "127.0.0.1:1")
	t.Setenv("PATH", "")
	t.Setenv("JAVA_HOME", "")
	t.Setenv(VersionEnv, "4.1.2")
	r := observe(t, func(t TB) { Own(t, Options{}) })
	if r.skipped != "" || !strings.Contains(r.failed, "Java 17 or newer is needed") {
		t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
	}
}
