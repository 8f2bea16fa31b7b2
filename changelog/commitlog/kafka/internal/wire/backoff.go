package wire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

const (
	firstPause = 5 * time.Millisecond
	longPause  = 250 * time.Millisecond
)

// Backoff paces a loop of attempts: pauses double from 5 ms to 250 ms, with jitter,
// while the clock and the context allow. Use one for each loop.
type Backoff struct {
	client  *Client
	what    string
	started time.Time
	logged  time.Time
	pause   time.Duration
}

// Backoff starts a loop that does what, a phrase like "find the coordinator of
// group g" for the log and for the error in the end.
func (c *Client) Backoff(what string) *Backoff {
	now := c.cfg.Now()
	return &Backoff{client: c, what: what, started: now, logged: now, pause: firstPause}
}

// Wait pauses after a failed attempt. It returns an error when there is to be no
// other: ctx has ended, the client is closed, cause is one that time does not
// mend, or the time to give up is over, which wraps commitlog.ErrUnreachable if no
// broker answered.
func (b *Backoff) Wait(ctx context.Context, cause error) error {
	if errors.Is(cause, commitlog.ErrClosed) {
		return cause
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w (%w)", b.what, context.Cause(ctx), cause)
	}
	if lasting(cause) {
		return fmt.Errorf("%s: %w", b.what, cause)
	}
	now := b.client.cfg.Now()
	if waited := now.Sub(b.started); waited >= b.client.cfg.GiveUp {
		var io *IOError
		if errors.As(cause, &io) {
			return fmt.Errorf("%w: gave up after %v to %s: %w", commitlog.ErrUnreachable, waited.Round(time.Second), b.what, cause)
		}
		return fmt.Errorf("gave up after %v to %s: %w", waited.Round(time.Second), b.what, cause)
	}
	if now.Sub(b.logged) >= time.Second {
		b.logged = now
		b.client.cfg.Logger.Warn("kafka: retrying", "what", b.what, "brokers", b.client.cfg.Brokers, "for", now.Sub(b.started).Round(time.Second), "error", cause)
	}
	timer := time.NewTimer(b.pause/2 + rand.N(b.pause/2+1))
	defer timer.Stop()
	b.pause = min(2*b.pause, longPause)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w (%w)", b.what, context.Cause(ctx), cause)
	case <-b.client.ctx.Done():
		return commitlog.ErrClosed
	}
}
