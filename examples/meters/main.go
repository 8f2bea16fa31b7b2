// Meters computes the average consumption of electricity meters, per hour and
// over the last hour, from a file of readings, and serves the averages over HTTP.
//
//	go run ./examples/meters
//
// The computation is package metering. The rest is a command line around it: csv.go
// and source.go read the file, import.go sends it to the log, results.go writes
// what came out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/tidemill/tidemill/examples/meters/metering"
	"github.com/tidemill/tidemill/runtime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is the program, with its exit code: 0, 1 after an error, 2 after a
// wrong flag.
func command(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "\nmeters: %v\n", err)
		return 2
	}
	if err := run(ctx, o, stdin, newScreen(stdout, stderr)); err != nil {
		fmt.Fprintf(stderr, "meters: %v\n", err)
		return 1
	}
	return 0
}

// run runs the application until ctx ends, or with -exit until everything is
// processed.
func run(ctx context.Context, o options, stdin io.Reader, scr *screen) (err error) {
	top, err := metering.Averages(int32(o.partitions), o.emission)
	if err != nil {
		return err
	}
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	src, err := openSource(ctx, o.readings, stdin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.close()) }()
	app, err := runtime.New(ctx, top, runtime.Config{Dir: o.dir, Listen: o.listen,
		Logger: slog.New(slog.NewTextHandler(scr.err, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // interrupted before anything began
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", o.dir, err)
	}
	// The application outlives ctx, so that results can still be written at the
	// end; if it fails, that ends everything else.
	appCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- app.Run(appCtx)
		interrupt()
	}()
	err = session(ctx, app, src, o, scr)
	stop()
	if failed := <-ended; failed != nil {
		return explain(failed) // it is the cause of err, if there is one
	}
	return err
}

// session is what happens while the application runs: import, serve, report.
func session(ctx context.Context, app *runtime.App, src *source, o options, scr *screen) error {
	im, err := work(ctx, app, src, o, scr)
	if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
		return err
	}
	// From here on an interrupt changes nothing: the end has begun.
	return summarize(context.WithoutCancel(ctx), app, im, o, scr)
}

// work imports the source and then serves, until ctx ends, which is its error.
func work(ctx context.Context, app *runtime.App, src *source, o options, scr *screen) (*importer, error) {
	if err := app.WaitReady(ctx); err != nil {
		return nil, err
	}
	im, err := startImport(ctx, app, src, o.dir, scr)
	if err != nil {
		return nil, err
	}
	begin(im, scr)
	if err := errors.Join(im.run(ctx), im.producer.Close()); err != nil {
		return im, err
	}
	if err := app.WaitProcessed(ctx); err != nil {
		return im, err
	}
	im.processed = true
	if o.exit {
		return im, nil
	}
	scr.say("%d readings sent, %d malformed lines left out; everything is processed", im.sent, im.skipped)
	im.suggestQuery()
	scr.say("Ctrl-C stops; the next start continues here")
	<-ctx.Done()
	return im, ctx.Err()
}

// begin says what is about to happen.
func begin(im *importer, scr *screen) {
	where := ""
	if im.address != "" {
		where = fmt.Sprintf(", serving http://%s/", im.address)
	}
	if im.resumed > 0 {
		scr.say("continuing %s behind line %d%s", im.src.name, im.resumed, where)
		return
	}
	scr.say("reading %s%s", im.src.name, where)
	if im.src.live {
		scr.warn("standard input cannot be resumed: after an interruption start with an empty directory, or from a file")
	}
}

// summarize writes the results to -out, and says what has been done.
func summarize(ctx context.Context, app *runtime.App, im *importer, o options, scr *screen) error {
	if im == nil {
		return nil // interrupted while the stores were restored
	}
	if !im.processed && !im.src.live {
		scr.say("interrupted before everything was processed; the next start continues here")
	}
	if o.out != "" {
		rows, err := writeResults(ctx, app, o.out)
		if err != nil {
			return err
		}
		scr.say("%d hourly results written to %s", rows, o.out)
	}
	scr.say("%d lines read, %d of them by earlier runs; %d readings sent, %d malformed lines left out; log and state are in %s",
		im.src.lines, im.resumed, im.sent, im.skipped, o.dir)
	return nil
}

// explain adds which flag mends an error.
func explain(err error) error {
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "listen" {
		return fmt.Errorf("%w; give a free address with -listen, for instance -listen 127.0.0.1:8081", err)
	}
	return err
}
