package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/tidemill/tidemill/examples/goka-visits/visits"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/query"
)

var pages = []string{"home", "shop", "news", "help"}

// sendSample sends some clicks, of which the log remembers how many were sent, so
// that a later start sends only what is missing.
func sendSample(ctx context.Context, app *runtime.App, clicks int) error {
	p, err := runtime.NewProducer(ctx, app, visits.Group(0).Topic("clicks"), "sample")
	if err != nil {
		return err
	}
	defer p.Close()
	for i := p.Position().Offset; i < int64(clicks); i++ {
		click := &visits.Click{Page: pages[i%int64(len(pages))]}
		if err := p.Send(fmt.Sprintf("user-%d", i%50), processor.Some[any](click)); err != nil {
			return err
		}
	}
	return p.Commit(ctx, runtime.SourcePosition{Offset: max(p.Position().Offset, int64(clicks))})
}

// printPages prints the rows of the pages.
func printPages(ctx context.Context, app *runtime.App, w io.Writer) error {
	_, err := query.Scan(ctx, app, visits.Counts, query.Range[string]{}, func(key string, c *visits.Count) bool {
		if page, ok := strings.CutPrefix(key, "page:"); ok {
			fmt.Fprintf(w, "%-6s %6d visits, the last by %s\n", page, c.Visits, c.Last)
		}
		return true
	})
	return err
}
