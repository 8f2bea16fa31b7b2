package gokaprocessor

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/query"
)

// runApp runs a group whose input is "words" and whose table holds numbers as an
// application, until it has processed some records of key "k". It returns the rows
// of the table.
func runApp(t *testing.T, dir string, group Group, records int) map[string]int64 {
	t.Helper()
	top, err := group.Build()
	if err != nil {
		t.Fatal(err)
	}
	app, err := runtime.New(t.Context(), top, runtime.Config{Dir: dir, Partitions: 2, CommitInterval: 10 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := app.WaitReady(wait); err != nil {
		t.Fatal(err)
	}
	sendWords(t, app, group, records)
	if err := app.WaitProcessed(wait); err != nil {
		t.Fatal(err)
	}
	rows := map[string]int64{}
	_, err = query.Scan(wait, app, TableStore[int64](group), query.Range[string]{}, func(k string, n int64) bool {
		rows[k] = n
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func sendWords(t *testing.T, app *runtime.App, group Group, records int) {
	t.Helper()
	p, err := runtime.NewProducer(t.Context(), app, group.Topic("words"), "test")
	if err != nil {
		t.Fatal(err)
	}
	for range records {
		if err := p.Send("k", processor.Some[any]("word")); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Commit(t.Context(), p.Position()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}
