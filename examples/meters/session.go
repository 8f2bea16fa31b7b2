package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/runtime"
)

// session is what happens while the application runs: import, serve, report.
type session struct {
	options
	app       *runtime.App
	src       *source   // nil: nothing is imported
	im        *importer // nil before the import begins, and without one
	screen    *screen
	processed bool // everything there was has been processed and committed
}

func (s *session) run(ctx context.Context) error {
	err := s.work(ctx)
	if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
		return err
	}
	// From here on an interrupt changes nothing: the end has begun.
	return s.summarize(context.WithoutCancel(ctx))
}

// work imports the source and then serves, until ctx ends, which is its error.
func (s *session) work(ctx context.Context) error {
	if err := s.app.WaitReady(ctx); err != nil {
		return err
	}
	if s.src == nil {
		s.screen.say("processing %s%s", s.job.Readings().Name, s.serving())
		s.screen.say("nothing is sent by this process; -readings sample would send the bundled sample")
	} else if err := s.importAll(ctx); err != nil {
		return err
	}
	if err := s.app.WaitProcessed(ctx); err != nil {
		return err
	}
	s.processed = true
	if s.exit {
		return nil
	}
	if s.im != nil {
		s.screen.say("%d readings sent, %d malformed lines left out; everything is processed", s.im.sent, s.im.skipped)
		s.im.suggestQuery()
	}
	s.screen.say("Ctrl-C stops; the next start continues here")
	<-ctx.Done()
	return ctx.Err()
}

// importAll sends the source, unless another process begins to do so: of several
// that send under one name only the last is let through. This one then goes on
// with its part of the processing.
func (s *session) importAll(ctx context.Context) error {
	im, err := startImport(ctx, s.app, s.src, s.options, s.screen)
	if err != nil {
		return err
	}
	s.im = im
	s.begin()
	err = errors.Join(im.run(ctx), im.producer.Close())
	if im.replaced && s.kafka.Given() {
		s.screen.say("another process has begun to send readings; this one goes on processing")
		return nil
	}
	return err
}

// begin says what is about to happen.
func (s *session) begin() {
	if s.im.resumed > 0 {
		s.screen.say("continuing %s behind line %d%s", s.src.name, s.im.resumed, s.serving())
		return
	}
	s.screen.say("reading %s%s", s.src.name, s.serving())
	if s.src.live {
		s.screen.warn("standard input cannot be resumed: after an interruption start with an empty directory, or from a file")
	}
}

func (s *session) serving() string {
	if address := s.app.Addr(); address != nil {
		return fmt.Sprintf(", serving http://%s/", address)
	}
	return ""
}

// summarize writes the results to -out, and says what has been done.
func (s *session) summarize(ctx context.Context) error {
	if s.src != nil && s.im == nil {
		return nil // interrupted while the stores were restored
	}
	if s.im != nil && !s.processed && !s.src.live {
		s.screen.say("interrupted before everything was processed; the next start continues here")
	}
	if s.out != "" {
		rows, err := writeResults(ctx, s.app, s.job, s.out)
		if err != nil {
			return err
		}
		s.screen.say("%d hourly results written to %s", rows, s.out)
	}
	where := "log and state are in " + s.cfg.Dir
	if s.kafka.Given() {
		where = "the log is on " + s.place() + ", the state in " + s.cfg.Dir
	}
	if s.im == nil {
		s.screen.say("%s", where)
		return nil
	}
	s.screen.say("%d lines read, %d of them by earlier runs; %d readings sent, %d malformed lines left out; %s",
		s.src.lines, s.im.resumed, s.im.sent, s.im.skipped, where)
	return nil
}
