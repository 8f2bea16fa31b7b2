package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// What no waiting mends fails at once, and each refusal says what to look at. The
// other side is a server with TLS that is no broker: no client here gets so far.
func TestHints(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	trusting := x509.NewCertPool()
	trusting.AddCert(server.Certificate())
	for name, c := range map[string]struct {
		tls    *tls.Config
		says   string
		denied bool
	}{
		"no client certificate": {&tls.Config{RootCAs: trusting}, "wants a certificate of the client", true},
		"unknown authority":     {&tls.Config{RootCAs: x509.NewCertPool()}, "certificate authority has to be among", false},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := Open(t.Context(), Config{Brokers: []string{server.Listener.Addr().String()}, TLS: c.tls, Logger: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, commitlog.ErrDenied) != c.denied {
				t.Errorf("want an error with %q, denied: %v; got %v", c.says, c.denied, err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v to see what no waiting mends", took)
			}
		})
	}
}

// A connection that ends without a word is a matter of configuration only as long
// as nothing was ever answered on it.
func TestHintOfSilence(t *testing.T) {
	c := &Client{}
	fresh, known := &link{}, &link{versions: map[int16][2]int16{}}
	if hint := c.hint(fresh, io.EOF); !strings.Contains(hint, "want TLS") {
		t.Errorf("a first EOF: %q", hint)
	}
	if hint := c.hint(known, io.EOF); hint != "" {
		t.Errorf("an EOF of a broker that has answered before: %q", hint)
	}
	c.cfg.TLS = &tls.Config{}
	if hint := c.hint(fresh, io.ErrUnexpectedEOF); !strings.Contains(hint, "plaintext listener") {
		t.Errorf("a first EOF with TLS: %q", hint)
	}
	if hint := c.hint(fresh, io.ErrClosedPipe); hint != "" {
		t.Errorf("another error: %q", hint)
	}
}
