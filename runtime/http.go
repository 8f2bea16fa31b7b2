package runtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidemill/tidemill/runtime/query"
)

func (a *App) newHandler() http.Handler {
	return query.NewHandler(a, query.Options{Instance: a.cfg.Instance, Metrics: a.metrics.handler(), Log: a.cfg.Logger, Now: a.cfg.Now})
}

// serve starts the HTTP server, if one is configured. stop ends it within
// closeTimeout; a server that fails by itself stops the application.
func (a *App) serve(fail context.CancelFunc) (stop func() error, err error) {
	if a.cfg.Listen == "" {
		return func() error { return nil }, nil
	}
	token, created, err := query.LoadOrCreateToken(a.cfg.TokenFile)
	if err != nil {
		return nil, err
	}
	if created {
		a.cfg.Logger.Info("made a token for writes over HTTP", "file", a.cfg.TokenFile)
	}
	guarded := &switchable{}
	server, listener, err := query.Server(a.cfg.Listen, guarded, query.ServerOptions{
		TLS: a.cfg.TLS, Token: token, InsecureListen: a.cfg.InsecureListen,
	})
	if err != nil {
		return nil, fmt.Errorf("%w (Config.Listen)", err)
	}
	failed := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tidemill", Name: "http_failed_logins_total",
		Help: "Requests with a missing or wrong token."})
	a.metrics.registry.MustRegister(failed)
	guarded.Handler = query.Guard(a.handler, query.GuardOptions{
		Loopback: query.Loopback(listener), Token: token, OnFailedLogin: failed.Inc, Now: a.cfg.Now, Log: a.cfg.Logger,
	})
	a.mu.Lock()
	a.mu.addr = listener.Addr()
	a.mu.Unlock()

	ended := make(chan error, 1)
	go func() {
		err := server.Serve(listener)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		} else {
			err = fmt.Errorf("HTTP server on %s: %w", listener.Addr(), err)
			a.setFatal(err)
			fail()
		}
		ended <- err
	}()
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		err := server.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		return errors.Join(err, <-ended)
	}, nil
}

// switchable is a handler that is known only after the listener is.
type switchable struct{ http.Handler }
