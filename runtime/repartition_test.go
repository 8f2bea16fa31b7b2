package runtime_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

var (
	lines      = topology.Topic[string, string]{Name: "lines", Partitions: 3, Key: serde.String, Value: serde.String}
	byWord     = topology.Topic[string, string]{Name: "by-word", Partitions: 5, Key: serde.String, Value: serde.String}
	byLength   = topology.Topic[string, string]{Name: "by-length", Partitions: 2, Key: serde.String, Value: serde.String}
	wordCount  = state.KeyValue("word-count", serde.String, serde.Int64)
	sizeCount  = state.KeyValue("size-count", serde.String, serde.Int64)
	wordCounts = topology.Topic[string, int64]{Name: "word-counts", Partitions: 2, Key: serde.String, Value: serde.Int64}
)

// countWords has three sub-topologies, one behind the other.
func countWords() (*topology.Topology, error) {
	b := topology.New("words")
	words := topology.FlatMap(topology.Source(b, lines), func(_, line string, emit func(string, string)) {
		for w := range strings.FieldsSeq(line) {
			emit(w, w)
		}
	}).Repartition(byWord)
	topology.Count(words.GroupByKey(), wordCount).ToStream().To(wordCounts)
	bySize := topology.GroupBy(words, func(_, w string) string { return fmt.Sprint(len(w)) }, byLength)
	topology.Count(bySize, sizeCount)
	return b.Build()
}

// With any number of workers WaitProcessed waits through all sub-topologies, and
// the results are those of a model, whatever number it was before a restart.
func TestWorkersAndRepartition(t *testing.T) {
	cfg := runtime.Config{Dir: "data", FS: vfs.NewMem(), CommitInterval: time.Millisecond, BufferBytes: 256}
	rng := rand.New(rand.NewPCG(11, 0))
	words, sizes := map[string]int64{}, map[string]int64{}
	for _, workers := range []int{1, 4, 2, 16} {
		cfg.Workers = workers
		app, stop := start(t, countWords, cfg)
		p, err := runtime.NewProducer(t.Context(), app, lines, "lines")
		must(t, err)
		for i := range 300 {
			var line []string
			for range 1 + rng.IntN(6) {
				w := strings.Repeat("w", 1+rng.IntN(4)) + fmt.Sprint(rng.IntN(9))
				line = append(line, w)
				words[w]++
				sizes[fmt.Sprint(len(w))]++
			}
			must(t, p.Send(fmt.Sprint(i), strings.Join(line, " ")))
			if i%7 == 0 {
				must(t, p.Commit(t.Context(), runtime.SourcePosition{}))
			}
		}
		must(t, p.Commit(t.Context(), runtime.SourcePosition{}))
		must(t, p.Close())
		must(t, app.WaitProcessed(t.Context()))
		for store, want := range map[*state.KeyValueStore[string, int64]]map[string]int64{&wordCount: words, &sizeCount: sizes} {
			if got := scan(t, app, *store); !maps.Equal(got, want) {
				t.Errorf("%d workers: %v\nwant %v", workers, got, want)
			}
		}
		stop()
	}
}

func scan(t *testing.T, b query.Backend, store state.KeyValueStore[string, int64]) map[string]int64 {
	t.Helper()
	rows := map[string]int64{}
	_, err := query.Scan(context.Background(), b, store, query.Range[string]{}, func(k string, n int64) bool {
		rows[k] = n
		return true
	})
	must(t, err)
	return rows
}
