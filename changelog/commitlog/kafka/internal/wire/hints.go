package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"

	kafka "github.com/segmentio/kafka-go"
)

// refusedLogin reports whether the broker has refused name or password, or does
// not have the mechanism.
func refusedLogin(err error) bool {
	var refused kafka.Error // SASL is kafka-go's
	return errors.As(err, &refused) && !Code(refused).Retriable()
}

// refusedCertificate reports whether the broker has refused this client's
// certificate, or that it has none. Such alerts of the other side have no type:
// only their text tells them apart from those that pass, as of a broker that is
// about to stop.
func refusedCertificate(err error) bool {
	var alert *net.OpError
	if !errors.As(err, &alert) || alert.Op != "remote error" {
		return false
	}
	text := alert.Err.Error()
	return strings.Contains(text, "certificate") || strings.Contains(text, "access denied")
}

// refusesBroker reports whether it is us who do not accept the broker: another
// authority has signed its certificate, or it does not speak TLS.
func refusesBroker(err error) bool {
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var notTLS tls.RecordHeaderError
	return errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &notTLS)
}

// hint says what to look at. A broker ends the connection without a word if it
// wants another kind of security; when it has answered before, that is not why.
func (c *Client) hint(l *link, err error) string {
	var certificate *tls.CertificateVerificationError
	switch {
	case refusedCertificate(err):
		return "this listener wants a certificate of the client (mTLS) that it trusts; give one in the TLS configuration"
	case errors.As(err, &certificate):
		return "if the broker is the right one, its certificate authority has to be among those of the TLS configuration"
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || c.answeredBefore(l):
		return ""
	case c.cfg.TLS == nil && c.cfg.SASL == nil:
		return "the broker ended the connection without a word; does this listener want TLS or a password (SASL)?"
	case c.cfg.TLS == nil:
		return "the broker ended the connection without a word; does this listener want TLS, or no password (SASL)?"
	case c.cfg.SASL == nil:
		return "the broker ended the connection without a word; is this a plaintext listener, or does it want a password (SASL)?"
	}
	return "the broker ended the connection without a word; is this a plaintext listener, or one without SASL?"
}

func (c *Client) answeredBefore(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return l.versions != nil
}
