package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/examples/meters/metering"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/topology"
)

// commitEvery bounds the lines in one transaction, and with it the memory that
// they take.
const commitEvery = 5000

// importer sends the readings of a source to the log, in order and each once,
// however often it is killed: every transaction carries the number of lines taken
// in and their hash, and a later run goes on behind them.
type importer struct {
	app      *runtime.App
	src      *source
	topic    topology.Topic[string, metering.Reading]
	place    string // of the log, for messages
	anew     string // how to begin with nothing, for messages
	producer *runtime.Producer[string, metering.Reading]
	screen   *screen
	pending  []row         // sent since the last commit
	resumed  int64         // lines that earlier runs have taken in
	sent     int64         // readings that this run has
	skipped  int64         // malformed lines that this run has met
	newest   map[int32]row // by partition, the valid reading with the latest time
	replaced bool          // another process has begun an import
}

// importName is durable: the position in the source is kept under it.
const importName = "import"

// startImport finds the place where the last run stopped.
func startImport(ctx context.Context, app *runtime.App, src *source, o options, scr *screen) (*importer, error) {
	im := &importer{app: app, src: src, topic: o.job.Readings(), place: o.place(), anew: o.anew(), screen: scr, newest: map[int32]row{}}
	var err error
	if im.producer, err = runtime.NewProducer(ctx, app, im.topic, importName); err != nil {
		return nil, err
	}
	im.resumed = im.producer.Position().Offset
	if err := im.rewind(ctx); err != nil {
		return nil, errors.Join(err, im.producer.Close())
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
			"with those lines, or %s", im.place, im.resumed, im.anew)
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
			"its end only), or %s", im.src.name, im.resumed, im.place, im.anew)
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
		im.pending = append(im.pending, r)
		im.sent++
		im.look(r)
	}
	return nil
}

// look remembers the newest reading, which makes an example of a query.
func (im *importer) look(r row) {
	if r.bad != nil || r.blank || r.reading.KWh < 0 {
		return
	}
	p := im.app.PartitionOf(metering.HourlyMean.Spec().Name, []byte(r.meter))
	if !r.reading.At.Before(im.newest[p].reading.At) {
		im.newest[p] = r
	}
}

// commitTries bounds how often a commit is done again: each time the cluster has
// answered, and then failed once more.
const commitTries = 20

func (im *importer) commit(ctx context.Context) error {
	if im.src.lines == im.producer.Position().Offset {
		return nil
	}
	first := im.producer.Position().Offset == 0
	at := runtime.SourcePosition{Offset: im.src.lines, Metadata: im.src.digest()}
	err := im.producer.Commit(ctx, at)
	for try := 1; errors.Is(err, commitlog.ErrUnknownOutcome) && try < commitTries && ctx.Err() == nil; try++ {
		err = im.redo(ctx, at)
	}
	if err != nil {
		im.replaced = errors.Is(err, commitlog.ErrFenced)
		return err
	}
	im.pending = im.pending[:0]
	im.screen.progress(im)
	if first && im.src.live {
		im.suggestQuery() // standard input may have no end to wait for
	}
	return nil
}

// redo follows a commit that nobody knows the outcome of, because a broker ended in
// the middle of it: the position says whether it has happened, and if not, the same
// rows are sent again.
func (im *importer) redo(ctx context.Context, at runtime.SourcePosition) error {
	before := im.producer.Position()
	_ = im.producer.Close() // its commit has said what there is to say
	again, err := runtime.NewProducer(ctx, im.app, im.topic, importName)
	if err != nil {
		return err
	}
	im.producer = again
	switch again.Position() {
	case at:
		return nil
	case before:
	default:
		return fmt.Errorf("%w: %s was at line %d or %d of %s, and is at line %d", commitlog.ErrFenced,
			im.place, before.Offset, at.Offset, im.src.name, again.Position().Offset)
	}
	for _, r := range im.pending {
		if err := again.Send(r.meter, r.reading); err != nil {
			return fmt.Errorf("%s: %w", im.src.name, err)
		}
	}
	return again.Commit(ctx, at)
}

func (im *importer) readError(err error) error {
	return fmt.Errorf("%s, after line %d: %w", im.src.name, im.src.lines, err)
}

// suggestQuery shows a query that has an answer: the last hours, up to the newest
// reading, of the meter that it is from. It is one whose store is in this process.
func (im *importer) suggestQuery() {
	address := im.app.Addr()
	store := metering.HourlyMean.Spec().Name
	var newest row
	for p, r := range im.newest {
		if r.reading.At.Before(newest.reading.At) {
			continue
		}
		if view, err := im.app.Snapshot(store, p); err == nil && view.Snapshot.Close() == nil {
			newest = r
		}
	}
	if address == nil || newest.meter == "" {
		return
	}
	to := newest.reading.At.Truncate(metering.Window).Add(metering.Window)
	im.screen.say("Ask for the last hours of a meter:\n\n  curl '%s'\n",
		queryURL(address.String(), store, newest.meter, to.Add(-6*time.Hour), to))
}
