package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// IdentityError says that another process runs under the same identity as this
// one. Both would take it from each other for ever, so this one stops.
type IdentityError struct {
	App      string
	Instance string
	Writers  []string // which the other one has, or may have
	Err      error
}

func (e *IdentityError) Error() string {
	return fmt.Sprintf("another process runs as instance %q of %s and has taken over (writer %s): find out which one is meant to run, "+
		"and give every process its own Config.Instance and Config.Dir: %v", e.Instance, e.App, strings.Join(e.Writers, ", "), e.Err)
}

// Unwrap returns commitlog.ErrFenced and the cause.
func (e *IdentityError) Unwrap() []error { return []error{commitlog.ErrFenced, e.Err} }

// restartReason names why a new incarnation may go on where this one has failed; ""
// if it may not.
func restartReason(err error) string {
	var identity *IdentityError
	switch {
	case err == nil, errors.As(err, &identity), errors.Is(err, commitlog.ErrReadOnly):
		return ""
	case errors.Is(err, commitlog.ErrNotMember):
		return "not-member"
	case errors.Is(err, commitlog.ErrStaleGeneration):
		return "stale-generation"
	case errors.Is(err, commitlog.ErrFenced):
		return "fenced"
	case errors.Is(err, commitlog.ErrUnknownOutcome):
		return "unknown-outcome"
	}
	return ""
}

// Pauses between incarnations.
const (
	firstRestartPause = 20 * time.Millisecond
	restartPause      = 5 * time.Second
)

// runIncarnations runs one incarnation after the other until ctx ends, one fails
// for good, or none has committed anything for Config.GiveUp.
func (a *App) runIncarnations(ctx context.Context) error {
	var last error
	var since time.Time
	var paused time.Duration
	pause := firstRestartPause
	for {
		commits := a.commits.Load()
		restart, err := a.live(ctx)
		if ctx.Err() != nil {
			return err
		}
		if !restart {
			if err != nil && last != nil {
				return errors.Join(last, err)
			}
			return err
		}
		now := a.cfg.Now()
		if last == nil || a.commits.Load() > commits {
			since, paused, pause = now, 0, firstRestartPause
		}
		last = err
		if max(paused, now.Sub(since)) >= a.cfg.GiveUp {
			return fmt.Errorf("gave up after starting over for %v without a commit: %w", a.cfg.GiveUp, err)
		}
		a.metrics.restarts.WithLabelValues(restartReason(err)).Inc()
		a.cfg.Logger.Warn("starting over with new writers; what was not committed is processed again",
			"app", a.App(), "instance", a.cfg.Instance, "error", err.Error())
		a.setRestart(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		a.setRestart(nil)
		paused += pause
		pause = min(2*pause, restartPause)
	}
}

func (a *App) setRestart(err error) {
	a.mu.Lock()
	a.mu.restart = err
	a.mu.Unlock()
	a.changed.notify()
}
