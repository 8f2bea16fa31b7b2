package streamtest

import (
	"log/slog"
	"testing"

	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/topology"
)

// TB is the part of testing.TB that a [Driver] needs. Fatalf must not return.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Config says how to run a topology in tests. The zero value is what [Run] and
// [New] use.
type Config struct {
	// Poison says what happens to a record that causes an error, as in
	// runtime.Config: runtime.PoisonFail (the default, which fails the test),
	// runtime.PoisonSkip, runtime.PoisonDeadLetter.
	Poison worker.Poison
	// DeadLetterTopic is where dead letters go; default "<app>-dead-letters". It
	// has one partition.
	DeadLetterTopic string
	// Logger gets what the engine logs; default: nobody.
	Logger *slog.Logger
}

// Run builds the topology and runs the body in every mode of [Modes], each as a
// subtest with a driver and a disk of its own.
func Run(t *testing.T, build func() (*topology.Topology, error), body func(t *testing.T, d *Driver)) {
	t.Helper()
	Config{}.Run(t, build, body)
}

// New builds the topology and returns a driver in one mode, closed when the test
// ends.
func New(t TB, build func() (*topology.Topology, error), mode Mode) *Driver {
	t.Helper()
	return Config{}.New(t, build, mode)
}

// Run is the function [Run] with this configuration.
func (c Config) Run(t *testing.T, build func() (*topology.Topology, error), body func(t *testing.T, d *Driver)) {
	t.Helper()
	for _, mode := range Modes() {
		t.Run(mode.String(), func(t *testing.T) { body(t, c.New(t, build, mode)) })
	}
}

// New is the function [New] with this configuration.
func (c Config) New(t TB, build func() (*topology.Topology, error), mode Mode) *Driver {
	t.Helper()
	declared, err := build()
	if err != nil {
		t.Fatalf("build the topology: %v", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.DeadLetterTopic == "" {
		c.DeadLetterTopic = declared.App() + "-dead-letters"
	}
	if mode, err = mode.withDefaults(); err != nil {
		t.Fatalf("streamtest: %v", err)
	}
	if mode.Seed != 0 {
		t.Logf("%s: %s=%d repeats this run", mode, seedVariable, mode.Seed)
	}
	d, err := open(t, c, declared, mode)
	if err != nil {
		t.Fatalf("streamtest %s: %v", mode, err)
	}
	return d
}
