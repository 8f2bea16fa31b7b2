package kafka

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
)

// The users of the guarded broker. Each password is a word that no message may hold.
const (
	alice, alicePassword = "alice", "al1ce-hidden"
	bob, bobPassword     = "bob", "b0b-hidden"
	wrongPassword        = "wr0ng-hidden"

	sessionLifetime = 3 * time.Second
)

// guarded is a broker with TLS, passwords and ACLs, of which the tests of this
// file are part: one start serves them all.
type guarded struct {
	*kafkatest.Broker
	admin  *Log
	output *lockedBuffer // whatever the clients of the tests have logged
}

// TestSecurity runs against a broker that is configured for it.
func TestSecurity(t *testing.T) {
	broker := kafkatest.Own(t, kafkatest.Options{
		Security:   &kafkatest.Security{Users: map[string]string{alice: alicePassword, bob: bobPassword}, Authorize: true},
		Properties: map[string]string{"listener.name.sasl_ssl.plain.connections.max.reauth.ms": fmt.Sprint(sessionLifetime.Milliseconds())},
	})
	b := &guarded{Broker: broker, admin: openLog(t, quiet(broker.Addr())), output: &lockedBuffer{}}
	b.allowAll(t, "User:"+alice)
	b.allowAll(t, "User:CN="+kafkatest.ClientName)
	t.Run("ways in", b.waysIn)
	t.Run("refused", b.refused)
	t.Run("permissions", b.permissions)
	t.Run("sessions end", b.sessionsEnd)
	for _, secret := range []string{alicePassword, bobPassword, wrongPassword} {
		if strings.Contains(b.output.String(), secret) {
			t.Errorf("the password %q is in the log", secret)
		}
	}
}

// lockedBuffer collects a log that several goroutines write.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// config is a client of one of the broker's listeners.
func (b *guarded) config(listener string, config *tls.Config, sasl SASL) Config {
	return Config{Brokers: []string{b.Listener(listener)}, TLS: config, SASL: sasl, GiveUp: 2 * time.Second, TransactionTimeout: 5 * time.Second,
		Logger: slog.New(slog.NewTextHandler(b.output, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

func (b *guarded) as(mechanism, user, password string) Config {
	return b.config(kafkatest.ListenerSASL, b.Certificates().TLS(), SASL{mechanism, user, password})
}

// transact commits values in one transaction and reads them back.
func transact(t *testing.T, l *Log, id string, tp commitlog.TopicPartition, values ...string) {
	t.Helper()
	w, err := l.OpenWriter(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b := &bench{T: t, ctx: t.Context(), log: l}
	if _, err := b.transaction(w.(*Writer), tp, values...); err != nil {
		t.Fatal(err)
	}
	b.expect(tp, values...)
}

// waysIn: transactions are written and read over every kind of listener.
func (b *guarded) waysIn(t *testing.T) {
	trusted, mutual := b.Certificates().TLS(), b.Certificates().MutualTLS()
	for name, cfg := range map[string]Config{
		"TLS":           b.config(kafkatest.ListenerSSL, trusted, SASL{}),
		"mTLS":          b.config(kafkatest.ListenerMutual, mutual, SASL{}),
		"PLAIN":         b.as("PLAIN", alice, alicePassword),
		"SCRAM-SHA-256": b.as("SCRAM-SHA-256", alice, alicePassword),
		"SCRAM-SHA-512": b.as("SCRAM-SHA-512", alice, alicePassword),
	} {
		t.Run(name, func(t *testing.T) {
			l := openLog(t, cfg)
			if err := l.CreateTopic(t.Context(), commitlog.TopicConfig{Name: name, Partitions: 1}); err != nil {
				t.Fatal(err)
			}
			transact(t, l, "over-"+name, at(name, 0), "a", "b")
		})
	}
}

// refused: whoever must not get in is told why, at once where waiting cannot help
// and otherwise within the time to give up, and the secret stays one.
func (b *guarded) refused(t *testing.T) {
	trusted := b.Certificates().TLS()
	stranger := b.Certificates().MutualTLS()
	stranger.RootCAs = nil // the system's
	for name, c := range map[string]struct {
		cfg   Config
		says  string
		cause error // nil: any
	}{
		"PLAIN, wrong password":         {b.as("PLAIN", alice, wrongPassword), "SASL Authentication Failed", commitlog.ErrDenied},
		"SCRAM-SHA-512, wrong password": {b.as("SCRAM-SHA-512", alice, wrongPassword), "SASL Authentication Failed", commitlog.ErrDenied},
		"SCRAM-SHA-512, unknown user":   {b.as("SCRAM-SHA-512", "eve", wrongPassword), "SASL Authentication Failed", commitlog.ErrDenied},
		"unknown authority":             {b.config(kafkatest.ListenerSSL, stranger, SASL{}), "unknown authority", nil},
		"no client certificate":         {b.config(kafkatest.ListenerMutual, trusted, SASL{}), "wants a certificate of the client", commitlog.ErrDenied},
		"plaintext to TLS":              {b.config(kafkatest.ListenerSSL, nil, SASL{}), "does this listener want TLS", commitlog.ErrUnreachable},
		"TLS to plaintext":              {b.config(kafkatest.ListenerPlaintext, trusted, SASL{}), "is this a plaintext listener", commitlog.ErrUnreachable},
		"no password":                   {b.config(kafkatest.ListenerSASL, trusted, SASL{}), "does it want a password (SASL)", commitlog.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			l, err := Open(t.Context(), c.cfg)
			if err == nil {
				t.Fatalf("got in: %v", l.Close())
			}
			took := time.Since(began)
			t.Logf("after %v: %v", took.Round(time.Millisecond), err)
			if took > c.cfg.GiveUp+10*time.Second {
				t.Errorf("it took %v, the time to give up is %v", took, c.cfg.GiveUp)
			}
			text := fmt.Sprintf("%v %+v %#v", err, err, c.cfg)
			if !strings.Contains(text, c.says) || !strings.Contains(text, c.cfg.Brokers[0]) {
				t.Errorf("the error names no %q, or not the broker: %v", c.says, err)
			}
			if c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("want %v: %v", c.cause, err)
			}
			for _, secret := range []string{alicePassword, wrongPassword} {
				if strings.Contains(text, secret) {
					t.Errorf("the password is in the error: %s", text)
				}
			}
		})
	}
}

// sessionsEnd: a broker ends connections whose login has become old
// (connections.max.reauth.ms). With Recycle below that, connections are made anew
// before, between requests, and no request is lost; without it some are, and the
// writer has to redo.
func (b *guarded) sessionsEnd(t *testing.T) {
	for name, recycle := range map[string]time.Duration{"recycled": sessionLifetime / 3, "not recycled": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := strings.ReplaceAll(name, " ", "-")
			cfg := b.as("PLAIN", alice, alicePassword)
			cfg.Recycle, cfg.GiveUp = recycle, 20*time.Second
			l := openLog(t, cfg)
			if err := l.CreateTopic(t.Context(), commitlog.TopicConfig{Name: topic, Partitions: 1}); err != nil {
				t.Fatal(err)
			}
			unknown := b.transactFor(t, l, at(topic, 0), 3*sessionLifetime)
			switch failures := l.client.Failures(); {
			case recycle > 0 && (failures > 0 || unknown > 0):
				t.Errorf("%d requests failed, %d transactions had to be settled, with connections renewed in time", failures, unknown)
			case recycle < 0 && failures == 0:
				t.Errorf("no request failed: the broker does not end sessions, and this test shows nothing")
			}
		})
	}
}

// Only logins become old.
func TestRecycleDefault(t *testing.T) {
	for want, cfg := range map[time.Duration]Config{
		0:               {},
		4 * time.Minute: {SASL: SASL{Mechanism: "PLAIN"}},
		time.Hour:       {SASL: SASL{Mechanism: "PLAIN"}, Recycle: time.Hour},
		-1:              {SASL: SASL{Mechanism: "PLAIN"}, Recycle: -1},
	} {
		if err := cfg.setDefaults(); err != nil || cfg.Recycle != want {
			t.Errorf("Recycle is %v, want %v: %v", cfg.Recycle, want, err)
		}
	}
}

// transactFor commits and reads for a while, and counts the commits whose outcome
// was unknown.
func (b *guarded) transactFor(t *testing.T, l *Log, tp commitlog.TopicPartition, d time.Duration) (unknown int) {
	w, err := l.OpenWriter(t.Context(), "sessions-of-"+tp.Topic)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r := newReader(t, l, commitlog.ReaderOptions{MaxWait: 50 * time.Millisecond}, 0, tp)
	on := &bench{T: t, ctx: t.Context(), log: l}
	for began := time.Now(); time.Since(began) < d; {
		if _, err := on.transaction(w.(*Writer), tp, "x"); errors.Is(err, commitlog.ErrUnknownOutcome) {
			unknown++
			if err := w.Abort(); err != nil {
				t.Fatal(err)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return unknown
}
