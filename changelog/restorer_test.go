package changelog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
)

// A restored store holds the last version of each key, whatever was replayed in
// which portions, and nothing that has expired.
func TestRestorerRebuildsTheLastVersions(t *testing.T) {
	for seed := range uint64(30) {
		for _, kind := range []state.Kind{state.KindKeyValue, state.KindWindow} {
			restoreOnce(t, seed, kind)
		}
	}
}

func restoreOnce(t *testing.T, seed uint64, kind state.Kind) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, uint64(kind)))
	log, err := embedded.Open(embedded.Options{FS: vfs.NewMem(), Dir: "log"})
	must(t, err)
	defer log.Close()
	tp := commitlog.TopicPartition{Topic: changelog.StoreTopic("app", "s")}
	must(t, log.CreateTopic(t.Context(), changelog.StoreTopicConfig("app", "s", 1)))
	horizon := int64(rng.IntN(3)) * 10
	if kind == state.KindKeyValue {
		horizon = 0
	}
	engine := memdb.New()
	r := &changelog.Restorer{Engine: engine, Spec: state.Spec{Name: "s", Kind: kind}, ID: 4, Source: tp, Horizon: horizon}
	model := map[string]string{}
	replayed := int64(0)
	for range 1 + rng.IntN(4) {
		write(t, rng, log, tp, kind, horizon, model)
		bounds, err := log.Bounds(t.Context(), tp)
		must(t, err)
		from, _, err := changelog.Applied(engine, "s")
		must(t, err)
		n, err := r.Run(context.Background(), log, from, bounds.StableEnd)
		must(t, err)
		replayed += n
		if replayed != bounds.StableEnd {
			t.Fatalf("seed %d: %d records replayed, the log has %d: only the tail is to be read", seed, replayed, bounds.StableEnd)
		}
		check(t, seed, engine, kind, model)
	}
}

// write appends random mutations in transactions, some with a tombstone.
func write(t *testing.T, rng *rand.Rand, log commitlog.Log, tp commitlog.TopicPartition, kind state.Kind, horizon int64, model map[string]string) {
	t.Helper()
	w, err := log.OpenWriter(t.Context(), "w")
	must(t, err)
	defer w.Close()
	for range 1 + rng.IntN(5) {
		rec := changelog.Recorder{TopicPartition: tp}
		for range rng.IntN(50) {
			start := int64(0)
			if kind == state.KindWindow {
				start = int64(rng.IntN(5)) * 10
			}
			key := fmt.Sprintf("k%d", rng.IntN(20))
			row := string(state.AppendRowKey(nil, 4, kind, start, []byte(key)))
			logged := state.AppendChangelogKey(nil, kind, start, []byte(key))
			if rng.IntN(4) == 0 {
				delete(model, row)
				must(t, rec.Record(0, logged, nil))
				continue
			}
			value := fmt.Sprint(rng.IntN(1000))
			if kind != state.KindWindow || start >= horizon {
				model[row] = string(state.AppendRowValue(nil, 5, []byte(value)))
			}
			must(t, rec.Record(5, logged, []byte(value)))
		}
		must(t, w.Begin())
		must(t, w.Append(tp, &rec.Builder))
		_, err := w.Commit(t.Context())
		must(t, err)
	}
}

func check(t *testing.T, seed uint64, engine state.Engine, kind state.Kind, model map[string]string) {
	t.Helper()
	lower, upper := state.StoreRange(4)
	it, err := engine.Iter(lower, upper, false)
	must(t, err)
	defer it.Close()
	rows := 0
	for it.Next() {
		rows++
		if want, ok := model[string(it.Key())]; !ok || want != string(it.Value()) {
			t.Fatalf("seed %d, %v: row %x is %x, want %x, %v", seed, kind, it.Key(), it.Value(), want, ok)
		}
	}
	must(t, it.Err())
	if rows != len(model) {
		t.Fatalf("seed %d, %v: %d rows, want %d", seed, kind, rows, len(model))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
