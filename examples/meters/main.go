// Meters computes the average consumption of electricity meters, per hour and
// over the last hour, from a file of readings, and serves the averages over HTTP.
//
//	go run ./examples/meters
//
// The same on a Kafka cluster, in as many processes as you like:
//
//	go run ./examples/meters -kafka host:9092
//
// The computation is package metering. The rest is a command line around it:
// session.go is what the program does, csv.go and source.go read the file, import.go
// sends it to the log, results.go writes what came out.
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

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3 // no broker of the cluster answers
)

// command is the program, with its exit code.
func command(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "\nmeters: %v\n", err)
		return exitUsage
	}
	err = run(ctx, o, stdin, newScreen(stdout, stderr))
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "meters: %v\n", explain(err))
	if errors.Is(err, commitlog.ErrUnreachable) {
		return exitUnreachable
	}
	return exitFailed
}

// run runs the application until ctx ends, or with -exit until everything is
// processed.
func run(ctx context.Context, o options, stdin io.Reader, scr *screen) (err error) {
	top, err := o.job.Topology()
	if err != nil {
		return err
	}
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	var src *source
	if name, none := o.source(); !none {
		if src, err = openSource(ctx, name, stdin); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, src.close()) }()
	}
	o.cfg.Logger = slog.New(slog.NewTextHandler(scr.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	app, err := runtime.New(ctx, top, o.cfg)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // interrupted before anything began
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", o.place(), err)
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
	s := &session{app: app, src: src, options: o, screen: scr}
	err = s.run(ctx)
	stop()
	if failed := <-ended; failed != nil {
		return failed // it is the cause of err, if there is one
	}
	return err
}

// explain adds which flag mends an error.
func explain(err error) error {
	var network *net.OpError
	var identity *runtime.IdentityError
	switch {
	case errors.As(err, &network) && network.Op == "listen":
		return fmt.Errorf("%w; give a free address with -listen, for instance -listen 127.0.0.1:8081", err)
	case errors.Is(err, commitlog.ErrUnknownTopic):
		return fmt.Errorf("%w\n  or let this program create its topics with -kafka-create-topics", err)
	case errors.As(err, &identity):
		return fmt.Errorf("%w; see -instance and -dir", err)
	}
	return err
}
