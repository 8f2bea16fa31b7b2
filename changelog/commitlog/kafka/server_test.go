package kafka

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/commitlogtest"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
)

// TestConformanceRestarts runs the cases that kill the broker, on one of their
// own, with both transaction protocols.
func TestConformanceRestarts(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills brokers: a minute")
	}
	for name, features := range map[string]map[string]int{"newer": nil, "older": {"transaction.version": 1}} {
		t.Run(name, func(t *testing.T) {
			broker := kafkatest.Own(t, kafkatest.Options{Features: features})
			real := &realHarness{brokers: []string{broker.Addr()}, run: "restarts"}
			h := real.harness()
			h.Missing = slices.DeleteFunc(h.Missing, func(f commitlogtest.Feature) bool { return f == commitlogtest.FeatureServerRestart })
			h.Timeout = 3 * time.Minute
			h.Mend = func(ctx context.Context, l commitlog.Log) error { return repairAll(ctx, t, l.(*spaced).Log) }
			h.RestartServer = func(ctx context.Context) error { return errors.Join(broker.Kill(), broker.Start(ctx)) }
			for _, c := range commitlogtest.Cases() {
				if !slices.Contains(c.Needs, commitlogtest.FeatureServerRestart) {
					continue
				}
				t.Run(c.Name, func(t *testing.T) {
					for range restartRounds() {
						if err := commitlogtest.Check(h, c); err != nil {
							t.Errorf("%v\nwhy it matters: %s", err, c.Why)
						}
					}
				})
			}
		})
	}
}

func restartRounds() int {
	if os.Getenv(longEnv) != "" {
		return 5
	}
	return 1
}

// repairAll ends whatever hangs, as an operator would who runs "txn list" and
// "txn repair".
func repairAll(ctx context.Context, t testing.TB, l commitlog.Log) error {
	log := l.(*Log)
	open, err := log.Transactions(ctx)
	if err != nil {
		return err
	}
	for _, o := range open {
		if !o.Hanging {
			continue
		}
		plan, err := log.Repair(ctx, o, false)
		if errors.Is(err, ErrNotHanging) {
			continue // with an earlier one
		}
		if err != nil {
			return err
		}
		t.Log("repaired: ", plan)
	}
	return nil
}
