package kafkatest

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Every listener takes whom it should, and refuses everybody else at once.
func TestSecurity(t *testing.T) {
	b := Own(t, Options{Security: &Security{Users: map[string]string{"alice": "alice-secret", "bob": "bob:secret"}}})
	stranger, err := newCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	forged := b.Certificates().TLS()
	forged.Certificates = stranger.MutualTLS().Certificates
	trusted, mutual := b.Certificates().TLS(), b.Certificates().MutualTLS()
	for _, c := range []struct {
		name, listener string
		tls            *tls.Config
		sasl           sasl.Mechanism
		refused        string // "" if the client must get in
	}{
		{"plain text", ListenerPlaintext, nil, nil, ""},
		{"TLS", ListenerSSL, trusted, nil, ""},
		{"TLS with a certificate nobody asked for", ListenerSSL, mutual, nil, ""},
		{"unknown authority", ListenerSSL, stranger.TLS(), nil, "certificate"},
		{"no TLS", ListenerSSL, nil, nil, "EOF"},
		{"client certificate", ListenerMutual, mutual, nil, ""},
		{"no client certificate", ListenerMutual, trusted, nil, "certificate"},
		{"another authority's client certificate", ListenerMutual, forged, nil, "certificate"},
		{"PLAIN", ListenerSASL, trusted, plain.Mechanism{Username: "alice", Password: "alice-secret"}, ""},
		{"PLAIN, second user", ListenerSASL, trusted, plain.Mechanism{Username: "bob", Password: "bob:secret"}, ""},
		{"PLAIN, wrong password", ListenerSASL, trusted, plain.Mechanism{Username: "alice", Password: "bob:secret"}, "SASL Authentication"},
		{"SCRAM-SHA-512", ListenerSASL, trusted, scramAs(t, scram.SHA512, "alice", "alice-secret"), ""},
		{"SCRAM-SHA-256", ListenerSASL, trusted, scramAs(t, scram.SHA256, "bob", "bob:secret"), ""},
		{"SCRAM-SHA-512, wrong password", ListenerSASL, trusted, scramAs(t, scram.SHA512, "alice", "guess"), "SASL Authentication"},
		{"SCRAM-SHA-512, unknown user", ListenerSASL, trusted, scramAs(t, scram.SHA512, "eve", "alice-secret"), "SASL Authentication"},
		{"SASL with an unknown authority", ListenerSASL, stranger.TLS(), plain.Mechanism{Username: "alice", Password: "alice-secret"}, "certificate"},
		{"SASL listener without a user", ListenerSASL, trusted, nil, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := time.Now()
			err := connect(t.Context(), b.Listener(c.listener), c.tls, c.sasl)
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.refused != "" && err == nil:
				t.Error("not refused")
			case c.refused != "" && !strings.Contains(err.Error(), c.refused):
				t.Errorf("refused with %q, want %q in it", err, c.refused)
			}
			if took := time.Since(before); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func scramAs(t *testing.T, algorithm scram.Algorithm, user, password string) sasl.Mechanism {
	t.Helper()
	m, err := scram.Mechanism(algorithm, user, password)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// connect opens a connection with kafka-go and asks something: TLS 1.3 shows a
// refused client certificate only at the first answer, and a listener that wants
// a user lets anybody ask for its versions.
func connect(ctx context.Context, addr string, config *tls.Config, mechanism sasl.Mechanism) error {
	dialer := &kafka.Dialer{Timeout: 10 * time.Second, TLS: config, SASLMechanism: mechanism}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	_, err = conn.Brokers()
	return err
}

// With Authorize a user needs an ACL, and anonymous clients may set one.
func TestAuthorize(t *testing.T) {
	b := Own(t, Options{Security: &Security{Authorize: true}})
	create(t, b.Addr(), "guarded", 1, nil)
	user := plain.Mechanism{Username: "alice", Password: "alice-secret"}
	transport := &kafka.Transport{TLS: b.Certificates().TLS(), SASL: user}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(b.Listener(ListenerSASL)), Transport: transport, Timeout: 10 * time.Second}
	sees := func() bool {
		t.Helper()
		m, err := client.Metadata(t.Context(), &kafka.MetadataRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return len(m.Topics) > 0
	}
	if sees() {
		t.Error("without an ACL alice sees the topic")
	}
	if _, err := b.Tool(t.Context(), ToolAcls, "--add", "--allow-principal", "User:alice", "--operation", "Describe", "--topic", "guarded"); err != nil {
		t.Fatal(err)
	}
	transport.CloseIdleConnections() // it remembers the old answer
	if !sees() {
		t.Error("with an ACL alice does not see the topic")
	}
}
