package gokaadopt_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
	"github.com/tidemill/tidemill/processor/gokaprocessor"
	"github.com/tidemill/tidemill/processor/gokaprocessor/gokaadopt"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/query"
)

// visiting is a group that counts the clicks of users, and through its loop those
// of pages. seen counts the clicks that it was given.
func visiting(name string, seen *atomic.Int64) gokaprocessor.Group {
	count := func(ctx goka.Context) {
		n, _ := ctx.Value().(int64)
		ctx.SetValue(n + 1)
	}
	return gokaprocessor.Group{
		Name: goka.Group(name), Persist: new(codec.Int64),
		Inputs: []gokaprocessor.Input{{Topic: goka.Stream(name + "-clicks"), Codec: new(codec.String), Callback: func(ctx goka.Context, page any) {
			count(ctx)
			ctx.Loopback("page-"+page.(string), ctx.Key())
			seen.Add(1)
		}}},
		Loop: &gokaprocessor.Loop{Codec: new(codec.String), Callback: func(ctx goka.Context, _ any) { count(ctx) }},
	}
}

// graph is the same group in goka.
func graph(g gokaprocessor.Group) *goka.GroupGraph {
	return goka.DefineGroup(g.Name, goka.Input(g.Inputs[0].Topic, g.Inputs[0].Codec, g.Inputs[0].Callback),
		goka.Loop(g.Loop.Codec, g.Loop.Callback), goka.Persist(g.Persist))
}

const clicks = 4000

func click(i int) (user, page string) { return fmt.Sprint("user-", i%37), fmt.Sprint(i % 11) }

// offline is the table that all clicks give.
func offline() map[string]int64 {
	rows := map[string]int64{}
	for i := range clicks {
		user, page := click(i)
		rows[user]++
		rows["page-"+page]++
	}
	return rows
}

// goka processes about half of the input and is stopped. An application takes over
// its offsets and its table and processes the rest: the table is that of the whole
// input, on a real broker if there is one, and on an emulated one.
func TestTakeOverFromGoka(t *testing.T) {
	t.Run("emulated", func(t *testing.T) {
		broker, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(broker.Close)
		takeOver(t, broker.ListenAddrs())
	})
	t.Run("real", func(t *testing.T) {
		takeOver(t, strings.Split(kafkatest.Address(t), ","))
	})
}

func takeOver(t *testing.T, brokers []string) {
	name := fmt.Sprintf("visits-%x", time.Now().UnixNano())
	var seen atomic.Int64
	group := visiting(name, &seen)
	createTopics(t, brokers, group)
	emit(t, brokers, group)
	runGoka(t, brokers, group, &seen)
	before := seen.Load()
	if before >= clicks {
		t.Fatalf("goka has processed all %d clicks: there is nothing to take over", clicks)
	}
	got := continueHere(t, brokers, group)
	if want := offline(); !maps.Equal(got, want) {
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if got[key] != want[key] {
				t.Errorf("%s has %d, want %d", key, got[key], want[key])
			}
		}
	}
	t.Logf("goka processed %d of %d clicks, the application %d", before, clicks, seen.Load()-before)
}

func gokaTopics() *goka.TopicManagerConfig {
	cfg := goka.NewTopicManagerConfig()
	cfg.Table.Replication, cfg.Stream.Replication = 1, 1
	return cfg
}

var quiet = log.New(io.Discard, "", 0)

// createTopics lets goka create its topics, with the configuration that it gives
// them.
func createTopics(t *testing.T, brokers []string, g gokaprocessor.Group) {
	t.Helper()
	tm, err := goka.NewTopicManager(brokers, goka.DefaultConfig(), gokaTopics())
	if err != nil {
		t.Fatal(err)
	}
	defer tm.Close()
	for _, topic := range []string{string(g.Inputs[0].Topic), g.LoopTopic()} {
		if err := tm.EnsureStreamExists(topic, partitions); err != nil {
			t.Fatal(err)
		}
	}
	if err := tm.EnsureTableExists(g.TableTopic(), partitions); err != nil {
		t.Fatal(err)
	}
}

func emit(t *testing.T, brokers []string, g gokaprocessor.Group) {
	t.Helper()
	emitter, err := goka.NewEmitter(brokers, g.Inputs[0].Topic, g.Inputs[0].Codec, goka.WithEmitterLogger(quiet))
	if err != nil {
		t.Fatal(err)
	}
	for i := range clicks {
		user, page := click(i)
		if _, err := emitter.Emit(user, page); err != nil {
			t.Fatal(err)
		}
	}
	if err := emitter.Finish(); err != nil {
		t.Fatal(err)
	}
}

// runGoka runs the group in goka until it has seen about half of the clicks.
func runGoka(t *testing.T, brokers []string, g gokaprocessor.Group, seen *atomic.Int64) {
	t.Helper()
	cfg := goka.DefaultConfig()
	cfg.Consumer.Offsets.Initial = -2            // the oldest
	cfg.Consumer.MaxProcessingTime = time.Minute // a stop in the middle of it is the test's
	slow := g
	slow.Inputs = slices.Clone(g.Inputs)
	callback := g.Inputs[0].Callback
	half := make(chan struct{})
	var reached atomic.Bool
	slow.Inputs[0].Callback = func(ctx goka.Context, msg any) {
		callback(ctx, msg)
		if seen.Load() >= clicks/2 {
			if !reached.Swap(true) {
				close(half)
			}
			time.Sleep(20 * time.Millisecond) // what goka still takes before it stops
		}
	}
	p, err := goka.NewProcessor(brokers, graph(slow), goka.WithLogger(quiet),
		goka.WithConsumerGroupBuilder(goka.ConsumerGroupBuilderWithConfig(cfg)),
		goka.WithTopicManagerBuilder(goka.TopicManagerBuilderWithTopicManagerConfig(gokaTopics())),
		goka.WithStorageBuilder(storage.MemoryBuilder()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	select {
	case <-half:
	case err := <-ended:
		t.Fatalf("goka ended by itself: %v", err)
	case <-ctx.Done():
		t.Fatalf("goka has seen %d clicks only", seen.Load())
	}
	stop()
	if err := <-ended; err != nil {
		t.Logf("goka: %v", err) // it tells of its own stop at times
	}
}

// continueHere runs the group here until its table is complete, or does not get
// there.
func continueHere(t *testing.T, brokers []string, g gokaprocessor.Group) map[string]int64 {
	t.Helper()
	top, err := g.Build()
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	cfg := kafka.Config{Brokers: brokers, Logger: logger, TransactionTimeout: 5 * time.Second}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	opened, err := kafka.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	adopted, err := gokaadopt.Group(ctx, opened, top, string(g.Name))
	if err != nil {
		t.Fatal(err)
	}
	if adopted.Already || adopted.Tasks != partitions {
		t.Errorf("adopted %+v", adopted)
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	app, err := runtime.New(ctx, top, runtime.Config{Dir: t.TempDir(), Kafka: &cfg, StateInMemory: true, SessionTimeout: 6 * time.Second, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(running) }()
	rows := awaitTable(ctx, t, app, g)
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return rows
}

// awaitTable reads the table until it is complete, and once more later: what is
// counted twice shows only then.
func awaitTable(ctx context.Context, t *testing.T, app *runtime.App, g gokaprocessor.Group) (rows map[string]int64) {
	t.Helper()
	for complete := 0; complete < 2 && ctx.Err() == nil; {
		if err := app.WaitProcessed(ctx); err != nil {
			t.Error(err)
			return nil
		}
		rows = map[string]int64{}
		_, err := query.Scan(ctx, app, gokaprocessor.TableStore[int64](g), query.Range[string]{}, func(k string, n int64) bool {
			rows[k] = n
			return true
		})
		if err != nil {
			t.Error(err)
			return nil
		}
		total := int64(0)
		for _, n := range rows {
			total += n
		}
		if total >= 2*clicks {
			complete++
		}
		time.Sleep(300 * time.Millisecond)
	}
	return rows
}
