package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// The application of the examples counts clicks per user.
var (
	clicks       = topology.Topic[string, string]{Name: "clicks", Partitions: 1, Key: serde.String, Value: serde.String}
	clickCounts  = topology.Topic[string, int64]{Name: "click-counts", Partitions: 1, Key: serde.String, Value: serde.Int64}
	clicksByUser = state.KeyValue("clicks-by-user", serde.String, serde.Int64)
)

func countClicks() (*topology.Topology, error) {
	b := topology.New("clicks")
	topology.Count(topology.Source(b, clicks).GroupByKey(), clicksByUser).ToStream().To(clickCounts)
	return b.Build()
}

// inMemory keeps everything on a disk in memory, which an application of your own
// does not: leave out FS, and Dir is a directory.
func inMemory() runtime.Config {
	return runtime.Config{Dir: "data", FS: vfs.NewMem(), CommitInterval: time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
}

// inBackground runs an App until stop is called.
func inBackground(app *runtime.App) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			fmt.Println("run:", err)
		}
	}
}

// Run is all that a main function needs. It ends when its context does: give it
// one from signal.NotifyContext.
func ExampleRun() {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if err := runtime.Run(ctx, countClicks, inMemory()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("stopped")
	// Output:
	// stopped
}

// An App of New can be sent records and be asked while it runs.
func ExampleNew() {
	t, err := countClicks()
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	app, err := runtime.New(ctx, t, inMemory())
	if err != nil {
		log.Fatal(err)
	}
	runCtx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- app.Run(runCtx) }()

	if err := app.WaitReady(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(app.App(), "is ready, with", app.Partitions("clicks-by-user"), "partition")
	cancel()
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	// Output:
	// clicks is ready, with 1 partition
}

// Every commit carries a position of the producer's source. An importer that
// begins at Position takes in nothing twice, whenever it was interrupted.
func ExampleNewProducer() {
	t, err := countClicks()
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	app, err := runtime.New(ctx, t, inMemory())
	if err != nil {
		log.Fatal(err)
	}
	defer inBackground(app)()

	lines := []string{"ann /home", "bob /home", "ann /help"}
	for range 2 { // the second import finds nothing to do
		p, err := runtime.NewProducer(ctx, app, clicks, "import")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("from line", p.Position().Offset)
		for _, line := range lines[p.Position().Offset:] {
			if err := p.Send(line[:3], line[4:]); err != nil {
				log.Fatal(err)
			}
		}
		if err := p.Commit(ctx, runtime.SourcePosition{Offset: int64(len(lines))}); err != nil {
			log.Fatal(err)
		}
		if err := p.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// from line 0
	// from line 3
}

// A subscription with a group goes on where the group has committed.
func ExampleSubscribe() {
	t, err := countClicks()
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	app, err := runtime.New(ctx, t, inMemory())
	if err != nil {
		log.Fatal(err)
	}
	defer inBackground(app)()
	if err := sendClicks(ctx, app, "ann", "bob", "ann"); err != nil {
		log.Fatal(err)
	}

	sub, err := runtime.Subscribe(ctx, app, clickCounts, "printer")
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		r, err := sub.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Key, r.Value)
	}
	if err := errors.Join(sub.Commit(ctx), sub.Close()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// ann 1
	// bob 1
	// ann 2
}

// In the process of the application, rows are asked for by the store's handle; the
// answer is what is committed.
func ExampleApp_query() {
	t, err := countClicks()
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	app, err := runtime.New(ctx, t, inMemory())
	if err != nil {
		log.Fatal(err)
	}
	defer inBackground(app)()
	if err := sendClicks(ctx, app, "ann", "bob", "ann"); err != nil {
		log.Fatal(err)
	}
	if err := app.WaitProcessed(ctx); err != nil {
		log.Fatal(err)
	}

	n, answer, ok, err := query.Get(ctx, app, clicksByUser, "ann")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, ok, answer.Position)
	_, _, ok, err = query.Get(ctx, app, clicksByUser, "cid")
	fmt.Println(ok, err)
	// Output:
	// 2 true map[0:map[clicks:3]]
	// false <nil>
}

// sendClicks commits one click for each user.
func sendClicks(ctx context.Context, app *runtime.App, users ...string) error {
	p, err := runtime.NewProducer(ctx, app, clicks, "clicks")
	if err != nil {
		return err
	}
	for _, user := range users {
		if err := p.Send(user, "/home"); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	return errors.Join(p.Commit(ctx, runtime.SourcePosition{}), p.Close())
}
