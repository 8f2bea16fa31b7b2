package changelog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
)

// A store of sessions or sliding windows that is rebuilt from its changelog has the
// rows, and the order of their ends, that the lost one had.
func TestRestorerRebuildsSpans(t *testing.T) {
	for seed := range uint64(20) {
		restoreSpans(t, seed, state.KindSession)
		restoreSpans(t, seed, state.KindSliding)
	}
}

func restoreSpans(t *testing.T, seed uint64, kind state.Kind) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, uint64(kind)))
	log, err := embedded.Open(embedded.Options{FS: vfs.NewMem(), Dir: "log"})
	must(t, err)
	defer log.Close()
	tp := commitlog.TopicPartition{Topic: changelog.StoreTopic("app", "s")}
	must(t, log.CreateTopic(t.Context(), changelog.StoreTopicConfig("app", "s", 1)))
	spec := state.Session("s", serde.String, serde.Int64).Spec()
	if spec.Kind = kind; kind == state.KindSliding {
		spec.WindowSize = 10 * time.Millisecond
	}
	lost, rebuilt := memdb.New(), memdb.New()
	spans, err := state.Session("s", serde.String, serde.Int64).OpenSpans(state.Env{Spec: spec, ID: 4, View: lost, CacheBytes: 1})
	must(t, err)
	for range 1 + rng.IntN(5) {
		for range rng.IntN(40) {
			changeSpan(t, rng, spans)
		}
		commitSpans(t, log, tp, lost, spans)
		if rng.IntN(2) == 0 {
			restoreTail(t, log, tp, rebuilt, spec, spans.Horizon())
		}
	}
	spans.ExpireBelow(int64(rng.IntN(60)))
	commitSpans(t, log, tp, lost, spans)
	restoreTail(t, log, tp, rebuilt, spec, spans.Horizon())
	// What expired since it was restored is deleted by the next commit.
	again, err := state.Session("s", serde.String, serde.Int64).OpenSpans(state.Env{Spec: spec, ID: 4, View: rebuilt, Horizon: spans.Horizon()})
	must(t, err)
	b := rebuilt.NewBatch()
	must(t, again.Drain(b, &changelog.Recorder{}))
	must(t, rebuilt.Apply(b))
	if want, got := dump(t, lost), dump(t, rebuilt); want != got {
		t.Fatalf("seed %d, %v: rebuilt as\n%s\nand was\n%s", seed, kind, got, want)
	}
}

// changeSpan puts a row, or removes one.
func changeSpan(t *testing.T, rng *rand.Rand, spans state.Spans[int64]) {
	t.Helper()
	key := fmt.Appendf(nil, "k%d", rng.IntN(5))
	end := 10 + int64(rng.IntN(60))
	rows, err := spans.Of(key, state.HashKey(key), end)
	must(t, err)
	i := rows.Find(end-10, end)
	switch {
	case i < 0:
		at := rows.Search(end)
		rows.Replace(at, at, state.Span[int64]{Start: end - 10, End: end, Time: end, Value: rng.Int64()})
	case rng.IntN(2) == 0:
		rows.Remove(i, i+1)
	default:
		rows.Set(i, rng.Int64(), end)
	}
}

func commitSpans(t *testing.T, log commitlog.Log, tp commitlog.TopicPartition, engine *memdb.DB, spans state.Spans[int64]) {
	t.Helper()
	w, err := log.OpenWriter(t.Context(), "w")
	must(t, err)
	defer w.Close()
	rec := changelog.Recorder{TopicPartition: tp}
	b := engine.NewBatch()
	must(t, spans.Drain(b, &rec))
	if !rec.Builder.Empty() {
		must(t, w.Begin())
		must(t, w.Append(tp, &rec.Builder))
		_, err = w.Commit(t.Context())
		must(t, err)
	}
	must(t, engine.Apply(b))
	spans.Committed()
}

func restoreTail(t *testing.T, log commitlog.Log, tp commitlog.TopicPartition, engine *memdb.DB, spec state.Spec, horizon int64) {
	t.Helper()
	bounds, err := log.Bounds(t.Context(), tp)
	must(t, err)
	from, _, err := changelog.Applied(engine, "s")
	must(t, err)
	r := &changelog.Restorer{Engine: engine, Spec: spec, ID: 4, Source: tp, Horizon: horizon}
	_, err = r.Run(t.Context(), log, from, bounds.StableEnd)
	must(t, err)
}

func dump(t *testing.T, engine state.Engine) (out string) {
	t.Helper()
	lower, upper := state.StoreRange(4)
	it, err := engine.Iter(lower, upper, false)
	must(t, err)
	defer it.Close()
	for it.Next() {
		out += fmt.Sprintf("%x=%x\n", it.Key(), it.Value())
	}
	must(t, it.Err())
	return out
}
