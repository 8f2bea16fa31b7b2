package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// maxDeadline bounds a request that waits for others (SyncGroup waits for the
// leader's plan) when the caller's context has no deadline.
const maxDeadline = 10 * time.Minute

// IOError reports a request without a sound answer: a connection that failed or
// ended, a deadline, bytes that make no sense. The request may have had its
// effect, so a write must not be repeated as it is.
type IOError struct {
	Node    Node
	Request string // Kafka's name of the request
	Err     error
	Hint    string // what to look at, if the cause alone does not say it
}

func (e *IOError) Error() string {
	text := fmt.Sprintf("%s to %s: %v", e.Request, e.Node, e.Err)
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Is makes a refused login match commitlog.ErrDenied.
func (e *IOError) Is(target error) bool {
	return target == commitlog.ErrDenied && (refusedLogin(e.Err) || refusedCertificate(e.Err))
}

// Unwrap returns the cause.
func (e *IOError) Unwrap() error { return e.Err }

// Call sends one request to a node, at the newest version that both sides have,
// and returns the answer, whose error codes are the caller's to look at. It never
// retries, and it always has a deadline: RequestTimeout on top of what the
// request asks the broker to wait, or ctx, whichever is earlier. A failed
// exchange is an *IOError; a node that lacks the request an error that says so.
func (c *Client) Call(ctx context.Context, to Node, req kmsg.Request) (kmsg.Response, error) {
	responses, err := c.Pipeline(ctx, to, []kmsg.Request{req})
	if err != nil {
		return nil, err
	}
	return responses[0], nil
}

// CallAt is Call at a version of the caller's choice.
func (c *Client) CallAt(ctx context.Context, to Node, version int16, req kmsg.Request) (kmsg.Response, error) {
	req.SetVersion(version)
	responses, err := c.send(ctx, to, []kmsg.Request{req})
	if err != nil {
		return nil, err
	}
	return responses[0], nil
}

// Pipeline sends requests in one write and returns the answers in order: all of
// them, or an error. Never put a request behind one on whose success it depends:
// the broker executes it in any case.
func (c *Client) Pipeline(ctx context.Context, to Node, reqs []kmsg.Request) ([]kmsg.Response, error) {
	if len(reqs) == 0 {
		return nil, nil
	}
	versions, err := c.versionsOf(ctx, to)
	if err != nil {
		return nil, err
	}
	for _, r := range reqs {
		v, err := pick(versions, r, to.String())
		if err != nil {
			return nil, err
		}
		r.SetVersion(v)
	}
	return c.send(ctx, to, reqs)
}

func (c *Client) send(ctx context.Context, to Node, reqs []kmsg.Request) ([]kmsg.Response, error) {
	l, err := c.link(to)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, c.timeout(reqs))
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	correlation := c.correlation.Add(int32(len(reqs))) - int32(len(reqs))
	x := newExchange(c.formatter, reqs, correlation)
	if _, err := l.transport.RoundTrip(bounded, kafka.TCP(to.Addr), x); err != nil {
		return nil, c.ioError(ctx, l, to, reqs, err)
	}
	return x.responses, nil
}

func (c *Client) ioError(ctx context.Context, l *link, to Node, reqs []kmsg.Request, err error) error {
	if c.ctx.Err() != nil {
		return commitlog.ErrClosed
	}
	hint := ""
	if errors.Is(ctx.Err(), context.Canceled) {
		err = context.Cause(ctx) // the caller's own doing says nothing about the connections
	} else {
		hint = c.hint(l, err)
		c.failed(l)
	}
	what := kmsg.NameForKey(reqs[0].Key())
	if len(reqs) > 1 {
		what = fmt.Sprintf("%d pipelined %s", len(reqs), what)
	}
	return &IOError{Node: to, Request: what, Err: err, Hint: hint}
}

// timeout is what the requests ask the broker to wait, and RequestTimeout.
func (c *Client) timeout(reqs []kmsg.Request) time.Duration {
	var millis int64
	for _, r := range reqs {
		switch r := r.(type) {
		case *kmsg.FetchRequest:
			millis += int64(r.MaxWaitMillis)
		case *kmsg.JoinGroupRequest:
			millis += int64(max(r.RebalanceTimeoutMillis, r.SessionTimeoutMillis))
		case *kmsg.SyncGroupRequest:
			return maxDeadline
		case kmsg.TimeoutRequest:
			millis += int64(r.Timeout())
		}
	}
	return min(c.cfg.RequestTimeout+time.Duration(millis)*time.Millisecond, maxDeadline)
}
