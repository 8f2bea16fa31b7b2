package kafkatest

import (
	"context"
	"os"
)

// AddressEnv is the environment variable that names the broker for tests,
// host:port[,host:port]. Tests that need a real Kafka are skipped without it.
const AddressEnv = "TIDEMILL_KAFKA"

// VersionEnv is the environment variable that names the version of the brokers
// that tests start for themselves. Default DefaultVersion.
const VersionEnv = "TIDEMILL_KAFKA_VERSION"

// TB is what this package uses of testing.TB. It is declared here so that a
// program that starts brokers does not link the testing package.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Address is the broker for tests, host:port[,host:port]. Without one the test is
// skipped. The broker is shared: use names for topics and groups that no other
// test uses.
func Address(t TB) string {
	t.Helper()
	addr := os.Getenv(AddressEnv)
	if addr == "" {
		t.Skipf("needs a real Kafka: set %s=host:port, or run under: go run ./cmd/tidemill dev kafka --port 0 -- go test ...", AddressEnv)
	}
	return addr
}

// Own starts a broker for one test, which may kill, pause and restart it, and
// removes it when the test has ended. The test is skipped where there is no
// broker for tests; a broker that does not start fails it. The log's end is
// shown if the test fails.
func Own(t TB, o Options) *Broker {
	t.Helper()
	Address(t)
	if o.Version == "" {
		o.Version = os.Getenv(VersionEnv)
	}
	b, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("a broker of this test's own: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the broker's log, %s:\n%s", b.LogFile(), b.LogTail())
		}
		if err := b.Close(); err != nil {
			t.Errorf("end the broker: %v", err)
		}
	})
	return b
}
