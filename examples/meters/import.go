package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tidemill/tidemill/examples/meters/metering"
	"github.com/tidemill/tidemill/runtime"
)

// commitEvery bounds the lines in one transaction, and with it the memory that
// they take.
const commitEvery = 5000

// importer sends the readings of a source to the log, in order and each once,
// however often it is killed: every transaction carries the number of lines taken
// in and their hash, and a later run goes on behind them.
type importer struct {
	src      *source
	dir      string // for messages
	address  string // of the HTTP server, empty if there is none
	producer *runtime.Producer[string, metering.Reading]
	screen   *screen
	resumed  int64 // lines that earlier runs have taken in
	sent     int64 // readings that this run has
	skipped  int64 // malformed lines that this run has met
	newest   row   // the valid reading with the latest time
	// processed is set when everything sent has been processed and committed.
	processed bool
}

// startImport finds the place where the last run stopped.
func startImport(ctx context.Context, app *runtime.App, src *source, dir string, scr *screen) (*importer, error) {
	producer, err := runtime.NewProducer(ctx, app, metering.Readings, "import")
	if err != nil {
		return nil, err
	}
	im := &importer{src: src, dir: dir, producer: producer, screen: scr, resumed: producer.Position().Offset}
	if address := app.Addr(); address != nil {
		im.address = address.String()
	}
	if err := im.rewind(ctx); err != nil {
		return nil, errors.Join(err, producer.Close())
	}
	return im, nil
}

// rewind reads again what has been taken in, and checks that it is still the same.
func (im *importer) rewind(ctx context.Context) error {
	if im.resumed == 0 {
		return nil
	}
	if im.src.live {
		return fmt.Errorf("%s already holds %d lines, and standard input cannot be resumed: save it to a file that begins "+
			"with those lines, or give an empty directory with -dir", im.dir, im.resumed)
	}
	for im.src.lines < im.resumed && ctx.Err() == nil {
		r, err := im.src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return im.readError(err)
		}
		im.look(r)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if im.src.lines < im.resumed || im.src.digest() != im.producer.Position().Metadata {
		return fmt.Errorf("%s does not begin with the %d lines that %s has taken in: restore the file (lines may be added at "+
			"its end only), or give an empty directory with -dir", im.src.name, im.resumed, im.dir)
	}
	return nil
}

// run sends the rest of the source.
func (im *importer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		r, err := im.src.next()
		if err == io.EOF {
			return im.commit(ctx)
		}
		if err != nil {
			return im.readError(err)
		}
		if err := im.take(r); err != nil {
			return err
		}
		if im.src.lines-im.producer.Position().Offset >= commitEvery || im.src.mayWait() {
			if err := im.commit(ctx); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// take sends one row. A malformed line is named and left out; a reading below
// zero is sent, because dropping it is up to the topology.
func (im *importer) take(r row) error {
	switch {
	case r.bad != nil:
		im.skipped++
		im.screen.malformed(im.skipped, im.src.name, im.src.lines, r.bad)
	case !r.blank:
		if err := im.producer.Send(r.meter, r.reading); err != nil {
			return fmt.Errorf("%s, line %d: %w", im.src.name, im.src.lines, err)
		}
		im.sent++
		im.look(r)
	}
	return nil
}

// look remembers the newest reading, which makes an example of a query.
func (im *importer) look(r row) {
	if r.bad == nil && !r.blank && r.reading.KWh >= 0 && !r.reading.At.Before(im.newest.reading.At) {
		im.newest = r
	}
}

func (im *importer) commit(ctx context.Context) error {
	if im.src.lines == im.producer.Position().Offset {
		return nil
	}
	first := im.producer.Position().Offset == 0
	if err := im.producer.Commit(ctx, runtime.SourcePosition{Offset: im.src.lines, Metadata: im.src.digest()}); err != nil {
		return err
	}
	im.screen.progress(im)
	if first && im.src.live {
		im.suggestQuery() // standard input may have no end to wait for
	}
	return nil
}

func (im *importer) readError(err error) error {
	return fmt.Errorf("%s, after line %d: %w", im.src.name, im.src.lines, err)
}

// suggestQuery shows a query that has an answer: the last hours, up to the newest
// reading, of the meter that it is from.
func (im *importer) suggestQuery() {
	if im.address == "" || im.newest.meter == "" {
		return
	}
	to := im.newest.reading.At.Truncate(metering.Window).Add(metering.Window)
	im.screen.say("Ask for the last hours of a meter:\n\n  curl '%s'\n",
		queryURL(im.address, metering.HourlyMean.Spec().Name, im.newest.meter, to.Add(-6*time.Hour), to))
}
