package kafka

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Config says how to reach a cluster and how to use it. Only Brokers is needed.
type Config struct {
	Brokers  []string    // host:port of some brokers
	TLS      *tls.Config // nil: plaintext
	SASL     SASL        // zero: none
	ClientID string      // shown in the broker's logs and quotas; default "tidemill"
	// ReplicationFactor and MinInSyncReplicas of topics that are created; 0 means
	// the broker's default.
	ReplicationFactor int16
	MinInSyncReplicas int
	// TransactionTimeout is after how long the broker aborts the transaction of a
	// silent writer. It must stay below the session timeout of the group, or a dead
	// worker's transaction outlives its membership. Default 10 s.
	TransactionTimeout time.Duration
	// GiveUp is how long to go on while no broker answers. Default 60 s.
	GiveUp time.Duration
	// HangWait is how long to wait for the transactions of others before looking
	// whether one hangs. Default TransactionTimeout and 15 s, because brokers look
	// for expired transactions only every 10 s.
	HangWait time.Duration
	// Recycle replaces connections of this age, between requests: a broker ends
	// those whose login is older than its connections.max.reauth.ms, and a request
	// that is lost by it is a transaction to be redone. Set it below that. Default
	// 4 min with SASL, else never; negative means never.
	Recycle time.Duration
	Logger  *slog.Logger     // default slog.Default()
	Now     func() time.Time // default time.Now
}

// SASL is how to authenticate.
type SASL struct {
	Mechanism string // "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512"; empty: none
	Username  string
	Password  string
}

// String shows mechanism and user, never the password.
func (s SASL) String() string {
	if s.Mechanism == "" {
		return "none"
	}
	return fmt.Sprintf("%s as %s", s.Mechanism, s.Username)
}

// GoString is String: %#v must not show the password either.
func (s SASL) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s SASL) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler, for whoever prints a Config as JSON.
func (s SASL) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch strings.ToUpper(s.Mechanism) {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Mechanism{Username: s.Username, Password: s.Password}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.Username, s.Password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.Username, s.Password)
	}
	return nil, fmt.Errorf("kafka: SASL mechanism %q is not known: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
}

func (c *Config) setDefaults() error {
	if c.ClientID == "" {
		c.ClientID = "tidemill"
	}
	if c.TransactionTimeout <= 0 {
		c.TransactionTimeout = 10 * time.Second
	}
	if c.GiveUp <= 0 {
		c.GiveUp = time.Minute
	}
	if c.HangWait <= 0 {
		c.HangWait = c.TransactionTimeout + 15*time.Second
	}
	if c.Recycle == 0 && c.SASL.Mechanism != "" {
		c.Recycle = 4 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ReplicationFactor < 0 || c.MinInSyncReplicas < 0 {
		return fmt.Errorf("kafka: replication factor %d and minimum of in-sync replicas %d must not be negative; 0 is the broker's default",
			c.ReplicationFactor, c.MinInSyncReplicas)
	}
	if c.ReplicationFactor > 0 && c.MinInSyncReplicas > int(c.ReplicationFactor) {
		return fmt.Errorf("kafka: %d in-sync replicas cannot be had of %d replicas; lower MinInSyncReplicas", c.MinInSyncReplicas, c.ReplicationFactor)
	}
	return nil
}
