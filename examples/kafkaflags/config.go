package kafkaflags

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/runtime"
)

// maxPassword bounds a password file, in bytes: a longer one is another file.
const maxPassword = 4 << 10

// mechanisms are what -kafka-sasl may say.
var mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}

// Apply sets what the flags say about a program that runs a topology.
func (f *Flags) Apply(cfg *runtime.Config) error {
	k, err := f.Config()
	if err != nil {
		return err
	}
	cfg.Kafka, cfg.CreateTopics = k, f.create
	return nil
}

// Config is how to reach the cluster; nil if none is named. It reads the files that
// the flags name. An error says which flag is wrong.
func (f *Flags) Config() (*kafka.Config, error) {
	if !f.Given() {
		return nil, f.checkAlone()
	}
	if err := f.checkNumbers(); err != nil {
		return nil, err
	}
	sasl, err := f.login()
	if err != nil {
		return nil, err
	}
	security, err := f.security(sasl)
	if err != nil {
		return nil, err
	}
	return &kafka.Config{Brokers: f.brokers, TLS: security, SASL: sasl, GiveUp: f.GiveUp,
		ReplicationFactor: int16(f.replication), MinInSyncReplicas: f.minInSync, TransactionTimeout: f.transactionTimeout}, nil
}

// checkAlone refuses flags about a cluster that is not named: whoever forgets
// -kafka must not find the results on his own disk.
func (f *Flags) checkAlone() error {
	given := map[string]bool{
		"kafka-tls": f.tls.given, "kafka-ca": f.ca != "", "kafka-cert": f.cert != "", "kafka-key": f.key != "",
		"kafka-sasl": f.mechanism != "", "kafka-user": f.user != "", "kafka-password-file": f.passwordFile != "",
		"kafka-create-topics": f.create, "kafka-transaction-timeout": f.transactionTimeout != 0,
		"kafka-replicas": f.replication != 0, "kafka-min-insync": f.minInSync != 0,
	}
	var alone []string
	for name, is := range given {
		if is {
			alone = append(alone, f.Dash+name)
		}
	}
	if alone == nil {
		return nil
	}
	slices.Sort(alone)
	return fmt.Errorf("%s without %skafka: name the brokers", strings.Join(alone, ", "), f.Dash)
}

func (f *Flags) checkNumbers() error {
	switch {
	case f.GiveUp <= 0:
		return fmt.Errorf("%skafka-give-up is %v: want a time above 0", f.Dash, f.GiveUp)
	case f.transactionTimeout < 0:
		return fmt.Errorf("%skafka-transaction-timeout is %v: want a time above 0", f.Dash, f.transactionTimeout)
	case f.replication < 0 || f.replication > 1<<15-1:
		return fmt.Errorf("%skafka-replicas is %d: want 1 or more", f.Dash, f.replication)
	case f.minInSync < 0 || f.replication > 0 && f.minInSync > f.replication:
		return fmt.Errorf("%skafka-min-insync is %d: want 1 or more, and no more than there are replicas", f.Dash, f.minInSync)
	}
	return nil
}

func (f *Flags) login() (kafka.SASL, error) {
	if f.mechanism == "" {
		if f.user != "" || f.passwordFile != "" {
			return kafka.SASL{}, fmt.Errorf("%skafka-sasl is missing: want %s", f.Dash, strings.Join(mechanisms, ", "))
		}
		return kafka.SASL{}, nil
	}
	mechanism := strings.ToUpper(f.mechanism)
	if !slices.Contains(mechanisms, mechanism) {
		return kafka.SASL{}, fmt.Errorf("%skafka-sasl is %q: want %s", f.Dash, f.mechanism, strings.Join(mechanisms, ", "))
	}
	if f.user == "" {
		return kafka.SASL{}, fmt.Errorf("%skafka-user is missing: name the user of %skafka-sasl", f.Dash, f.Dash)
	}
	password, err := f.password()
	if err != nil {
		return kafka.SASL{}, err
	}
	return kafka.SASL{Mechanism: mechanism, Username: f.user, Password: password}, nil
}

func (f *Flags) password() (string, error) {
	if f.passwordFile == "" {
		if password := os.Getenv(PasswordEnv); password != "" {
			return password, nil
		}
		return "", fmt.Errorf("the password of user %s is missing: name its file with %skafka-password-file, or set %s", f.user, f.Dash, PasswordEnv)
	}
	file, err := os.Open(f.passwordFile)
	if err != nil {
		return "", fmt.Errorf("%skafka-password-file: %w", f.Dash, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPassword+1))
	if err != nil {
		return "", fmt.Errorf("%skafka-password-file: %w", f.Dash, err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" || len(text) > maxPassword || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("%skafka-password-file: %s does not hold one line with a password", f.Dash, f.passwordFile)
	}
	return password, nil
}

// security is the TLS configuration, nil for none. A password goes over TLS unless
// the user has written that it need not.
func (f *Flags) security(sasl kafka.SASL) (*tls.Config, error) {
	if (f.cert == "") != (f.key == "") {
		return nil, fmt.Errorf("%skafka-cert and %skafka-key belong together: give both", f.Dash, f.Dash)
	}
	files := f.ca != "" || f.cert != ""
	if f.tls.given && !f.tls.value {
		if files {
			return nil, fmt.Errorf("%skafka-tls=false contradicts %skafka-ca and %skafka-cert", f.Dash, f.Dash, f.Dash)
		}
		return nil, nil
	}
	if !f.tls.given && !files && sasl.Mechanism == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("%skafka-ca: %w", f.Dash, err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%skafka-ca: %s holds no certificate in PEM", f.Dash, f.ca)
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("%skafka-cert and %skafka-key: %w", f.Dash, f.Dash, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
