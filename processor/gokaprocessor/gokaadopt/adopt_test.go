package gokaadopt_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor/gokaprocessor"
	"github.com/tidemill/tidemill/processor/gokaprocessor/gokaadopt"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/topology"
)

const (
	partitions = 3
	records    = 600
	keys       = 20
)

func counting() gokaprocessor.Group {
	return gokaprocessor.Group{
		Name: "counting", Persist: new(codec.Int64),
		Inputs: []gokaprocessor.Input{{Topic: "words", Codec: new(codec.String), Callback: func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}}},
	}
}

func keyOf(i int) string { return "key-" + strconv.Itoa(i%keys) }

// left is a log as a goka group leaves it: input, of which a part is processed, the
// rows of that part, and offsets.
func left(t *testing.T, place func(key []byte, n int32) int32) *embedded.Log {
	t.Helper()
	log, err := embedded.Open(embedded.Options{FS: vfs.NewMem(), Dir: "/log"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(log.CreateTopic(t.Context(), commitlog.TopicConfig{Name: "words", Partitions: partitions}))
	must(log.CreateTopic(t.Context(), commitlog.TopicConfig{Name: "counting-table", Partitions: partitions, Cleanup: commitlog.CleanupCompact}))
	w, err := log.OpenWriter(t.Context(), "goka")
	must(err)
	must(w.Begin())
	counts, offsets := map[string]int{}, map[commitlog.TopicPartition]commitlog.GroupOffset{}
	for i := range records {
		key := []byte(keyOf(i))
		tp := commitlog.TopicPartition{Topic: "words", Partition: place(key, partitions)}
		must(appendOne(w, tp, key, []byte("word")))
		if i < records/2 {
			counts[keyOf(i)]++
			table := commitlog.TopicPartition{Topic: "counting-table", Partition: topology.FNV1a().Place(key, partitions)}
			must(appendOne(w, table, key, []byte(strconv.Itoa(counts[keyOf(i)]))))
			offsets[tp] = commitlog.GroupOffset{Offset: offsets[tp].Offset + 1}
		}
	}
	must(w.Offsets("counting", commitlog.Membership{}, offsets))
	_, err = w.Commit(t.Context())
	must(err)
	must(w.Close())
	return log
}

func appendOne(w commitlog.Writer, tp commitlog.TopicPartition, key, value []byte) error {
	var b recordbatch.Builder
	b.Append(1000, key, value, nil)
	return w.Append(tp, &b)
}

// run runs the group until it has processed everything and returns its table.
func run(t *testing.T, log commitlog.Log, dir string) map[string]int64 {
	t.Helper()
	top, err := counting().Build()
	if err != nil {
		t.Fatal(err)
	}
	app, err := runtime.New(t.Context(), top, runtime.Config{Dir: dir, Log: log, StateInMemory: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	rows := map[string]int64{}
	if err := app.WaitProcessed(ctx); err == nil {
		_, err = query.Scan(ctx, app, gokaprocessor.TableStore[int64](counting()), query.Range[string]{}, func(k string, n int64) bool {
			rows[k] = n
			return true
		})
		if err != nil {
			t.Error(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestGroupIsContinued(t *testing.T) {
	log, dir := left(t, topology.FNV1a().Place), t.TempDir()
	top, err := counting().Build()
	if err != nil {
		t.Fatal(err)
	}
	adopted, err := gokaadopt.Group(t.Context(), log, top, "counting")
	if err != nil || adopted.Already || adopted.Tasks != partitions || adopted.Records != records/2 {
		t.Errorf("adopted %+v, %v", adopted, err)
	}
	for range 2 {
		rows := run(t, log, dir)
		for i := range keys {
			if rows[keyOf(i)] != records/keys {
				t.Errorf("%s has %d, want %d", keyOf(i), rows[keyOf(i)], records/keys)
			}
		}
		if adopted, err := gokaadopt.Group(t.Context(), log, top, "counting"); err != nil || !adopted.Already {
			t.Errorf("a second time: %+v, %v", adopted, err)
		}
	}
}

func TestGroupIsRefused(t *testing.T) {
	top, err := counting().Build()
	if err != nil {
		t.Fatal(err)
	}
	refused := func(log commitlog.Log, group, want string) {
		t.Helper()
		if _, err := gokaadopt.Group(t.Context(), log, top, group); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	refused(left(t, topology.FNV1a().Place), "another", "has committed no offsets")
	refused(left(t, commitlog.Murmur2), "counting", "belongs to partition")

	log := left(t, topology.FNV1a().Place)
	if err := log.DeleteTopic(t.Context(), "counting-table"); err != nil {
		t.Fatal(err)
	}
	cfg := commitlog.TopicConfig{Name: "counting-table", Partitions: partitions + 1, Cleanup: commitlog.CleanupCompact}
	if err := log.CreateTopic(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	refused(log, "counting", fmt.Sprintf("has %d partitions, but the inputs of its tasks have %d", partitions+1, partitions))
}

// A control: without its offsets, the group's first half would be counted twice, so
// that an application of the group's name does not start.
func TestWithoutAdoptingNothingStarts(t *testing.T) {
	log := left(t, topology.FNV1a().Place)
	top, err := counting().Build()
	if err != nil {
		t.Fatal(err)
	}
	app, err := runtime.New(t.Context(), top, runtime.Config{Dir: t.TempDir(), Log: log, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := app.Run(ctx); err == nil || !strings.Contains(err.Error(), "holds no position record") {
		t.Errorf("error %v", err)
	}
}
