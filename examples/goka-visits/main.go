// Goka-visits is a goka program that runs on tidemill: visits/callbacks.go is what
// it was, visits/group.go is the wiring that has changed.
//
//	go run ./examples/goka-visits
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/examples/goka-visits/visits"
	"github.com/tidemill/tidemill/processor/gokaprocessor/gokaadopt"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/topology"
)

// options are the flags.
type options struct {
	dir, listen, kafka, adopt string
	clicks                    int
	exit                      bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is the program, with its exit code: 0, 1 after an error, 2 after a wrong
// flag.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet("goka-visits", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.dir, "dir", "data/goka-visits", "`directory` of the state, and of the log unless -kafka is given")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`address` of the HTTP server; empty for none")
	fs.StringVar(&o.kafka, "kafka", "", "`brokers`, host:port[,host:port], instead of the embedded log")
	fs.StringVar(&o.adopt, "adopt", "", "goka `group` to continue at the first start: its offsets, and its table as it is")
	fs.IntVar(&o.clicks, "clicks", 1000, "`number` of sample clicks to send at the start, without -kafka")
	fs.BoolVar(&o.exit, "exit", false, "stop when everything is processed")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if o.clicks < 0 || fs.NArg() > 0 || o.adopt != "" && o.kafka == "" {
		fmt.Fprintln(stderr, "goka-visits: -clicks must not be negative, -adopt needs -kafka, and there are no arguments but flags")
		return 2
	}
	if err := run(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "goka-visits: %v\n", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, o options, stdout, stderr io.Writer) error {
	cfg := runtime.Config{Dir: o.dir, Listen: o.listen,
		Logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	partitions := int32(4)
	if o.kafka != "" {
		partitions = 0 // as many as the topics have
		cfg.Kafka = &kafka.Config{Brokers: strings.Split(o.kafka, ",")}
	}
	top, err := visits.Group(partitions).Build()
	if err != nil {
		return err
	}
	if o.adopt != "" {
		if err := adopt(ctx, *cfg.Kafka, top, o.adopt, stdout); err != nil {
			return err
		}
	}
	app, err := runtime.New(ctx, top, cfg)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- app.Run(ctx)
		stop()
	}()
	err = session(ctx, app, o, stdout)
	interrupted := ctx.Err() != nil
	stop()
	if failed := <-ended; failed != nil || interrupted {
		return failed // it is the cause of err, if there is one
	}
	return err
}

// adopt continues a goka group. At a later start it does nothing.
func adopt(ctx context.Context, cfg kafka.Config, top *topology.Topology, group string, stdout io.Writer) error {
	log, err := kafka.Open(ctx, cfg)
	if err != nil {
		return err
	}
	adopted, err := gokaadopt.Group(ctx, log, top, group)
	if err == nil && !adopted.Already {
		fmt.Fprintf(stdout, "continuing goka group %s behind %d records\n", group, adopted.Records)
	}
	return errors.Join(err, log.Close())
}

// session is what happens while the application runs.
func session(ctx context.Context, app *runtime.App, o options, stdout io.Writer) error {
	if err := app.WaitReady(ctx); err != nil {
		return err
	}
	if o.kafka == "" {
		if err := sendSample(ctx, app, o.clicks); err != nil {
			return err
		}
	}
	if err := app.WaitProcessed(ctx); err != nil {
		return err
	}
	if err := printPages(ctx, app, stdout); err != nil || o.exit {
		return err
	}
	if addr := app.Addr(); addr != nil {
		fmt.Fprintf(stdout, "curl 'http://%s/v1/stores/%s/key?key=page:home'\n", addr, visits.Counts.Spec().Name)
	}
	<-ctx.Done()
	return nil
}
