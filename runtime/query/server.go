package query

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// ServerOptions configure [Server]; the zero value serves plain HTTP on loopback.
type ServerOptions struct {
	// TLS encrypts the connections; nil is plain HTTP.
	TLS *tls.Config
	// Token is the one that the handler's Guard checks. It is only looked at to
	// refuse an address beyond this machine without one.
	Token Secret
	// InsecureListen allows an address beyond this machine without TLS or token.
	InsecureListen bool
	// MaxConns bounds the connections; more wait to be accepted. 0 means 512.
	MaxConns int
}

// The time limits are those of a server that strangers can reach: a client that
// sends its request byte by byte loses its connection within them.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
)

// Server listens on addr and returns a server for it, to be run with
// server.Serve(listener). How long an answer may take is the business of [Guard].
//
// An address beyond this machine is refused, unless there are TLS and a token or
// InsecureListen is set. With TLS the server speaks HTTP/1.1 only, whose requests
// each hold a connection and so are bounded by MaxConns.
func Server(addr string, h http.Handler, opts ServerOptions) (*http.Server, net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %q: %w", addr, err)
	}
	if !Loopback(listener) && !opts.InsecureListen && (opts.TLS == nil || opts.Token.IsZero()) {
		err := fmt.Errorf("listen on %q: the address can be reached from other machines, which takes TLS and a token: "+
			"listen on 127.0.0.1, or set both, or set Config.InsecureListen (--insecure-listen) if something else protects it", addr)
		return nil, nil, errors.Join(err, listener.Close())
	}
	if opts.MaxConns <= 0 {
		opts.MaxConns = 512
	}
	limited := netutil.LimitListener(listener, opts.MaxConns)
	if opts.TLS != nil {
		cfg := opts.TLS.Clone()
		cfg.NextProtos = []string{"http/1.1"}
		limited = tls.NewListener(limited, cfg)
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}, limited, nil
}

// Loopback tells whether a listener can be reached from this machine only: what
// GuardOptions.Loopback is to be. The bound address is asked and not the
// configured one, because a name can stand for anything.
func Loopback(l net.Listener) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}
