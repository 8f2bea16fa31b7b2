package kafkaflags

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/runtime"
)

func parse(args ...string) (*Flags, *kafka.Config, error) {
	f := &Flags{}
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.Register(fs)
	f.RegisterApplication(fs)
	if err := fs.Parse(args); err != nil {
		return f, nil, err
	}
	cfg, err := f.Config()
	return f, cfg, err
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestNothingGiven(t *testing.T) {
	if _, cfg, err := parse(); cfg != nil || err != nil {
		t.Errorf("without flags: %v, %v", cfg, err)
	}
}

func TestBrokers(t *testing.T) {
	f, cfg, err := parse("-kafka", "a:1,b:2", "-kafka", "[::1]:3", "-kafka-give-up", "5s", "-kafka-create-topics", "-kafka-replicas", "3",
		"-kafka-min-insync", "2", "-kafka-transaction-timeout", "4s")
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(cfg.Brokers) != "[a:1 b:2 [::1]:3]" || cfg.TLS != nil || cfg.SASL.Mechanism != "" || cfg.GiveUp != 5*time.Second ||
		cfg.ReplicationFactor != 3 || cfg.MinInSyncReplicas != 2 || cfg.TransactionTimeout != 4*time.Second {
		t.Errorf("%+v", cfg)
	}
	var app runtime.Config
	if err := f.Apply(&app); err != nil || app.Kafka == nil || !app.CreateTopics {
		t.Errorf("Apply: %v, %+v", err, app)
	}
}

// A password is never sent in the clear unless that was asked for.
func TestTLS(t *testing.T) {
	t.Setenv(PasswordEnv, "hidden")
	login := []string{"-kafka-sasl", "plain", "-kafka-user", "alice"}
	for args, want := range map[string]bool{
		"":                       false,
		"-kafka-tls":             true,
		"-kafka-tls=false":       false,
		strings.Join(login, " "): true,
		"-kafka-tls=false " + strings.Join(login, " "): false,
	} {
		_, cfg, err := parse(append([]string{"-kafka", "a:1"}, strings.Fields(args)...)...)
		if err != nil || (cfg.TLS != nil) != want {
			t.Errorf("%q: TLS %v, error %v; want TLS: %v", args, cfg, err, want)
		}
	}
}

// The password comes from the environment or a file and is in no text about the
// configuration.
func TestPassword(t *testing.T) {
	login := []string{"-kafka", "a:1", "-kafka-sasl", "scram-sha-512", "-kafka-user", "alice"}
	t.Setenv(PasswordEnv, "hidden")
	f, cfg, err := parse(login...)
	if err != nil || cfg.SASL != (kafka.SASL{Mechanism: "SCRAM-SHA-512", Username: "alice", Password: "hidden"}) {
		t.Fatalf("from the environment: %v, %v", cfg, err)
	}
	_, fromFile, err := parse(append(login, "-kafka-password-file", file(t, "also hidden \r\n"))...)
	if err != nil || fromFile.SASL.Password != "also hidden " {
		t.Errorf("from a file: %v", err)
	}
	encoded, err := json.Marshal(cfg.SASL)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(cfg.SASL), fmt.Sprintf("%+v", *cfg), fmt.Sprintf("%#v", cfg.SASL), fmt.Sprintf("%+v", f), string(encoded)} {
		if strings.Contains(text, "hidden") {
			t.Errorf("the password is shown: %s", text)
		}
	}
}

func TestWrongFlags(t *testing.T) {
	t.Setenv(PasswordEnv, "")
	const kafka = "-kafka a:1 "
	empty, two := file(t, "\n"), file(t, "one\ntwo\n")
	for args, want := range map[string]string{
		"-kafka a":                   `"a" is not host:port`,
		"-kafka a:b":                 `"a:b" is not host:port`,
		"-kafka a:0":                 `"a:0" is not host:port`,
		"-kafka a:1,":                `"" is not host:port`,
		"-kafka-tls=perhaps":         "kafka-tls",
		"-kafka-ca x -kafka-user y":  "-kafka-ca, -kafka-user without -kafka",
		kafka + "-kafka-give-up 0s":  "-kafka-give-up is 0s",
		kafka + "-kafka-replicas -1": "-kafka-replicas is -1",
		kafka + "-kafka-replicas 1 -kafka-min-insync 2":                         "no more than there are replicas",
		kafka + "-kafka-transaction-timeout -1s":                                "-kafka-transaction-timeout is -1s",
		kafka + "-kafka-ca /nowhere":                                            "-kafka-ca: open /nowhere",
		kafka + "-kafka-ca " + empty:                                            "holds no certificate in PEM",
		kafka + "-kafka-cert x":                                                 "-kafka-cert and -kafka-key belong together",
		kafka + "-kafka-key x":                                                  "-kafka-cert and -kafka-key belong together",
		kafka + "-kafka-cert /no/c -kafka-key /no/k":                            "/no/c",
		kafka + "-kafka-tls=false -kafka-ca x":                                  "contradicts",
		kafka + "-kafka-user x":                                                 "-kafka-sasl is missing",
		kafka + "-kafka-sasl GSSAPI -kafka-user x":                              `-kafka-sasl is "GSSAPI": want PLAIN, SCRAM-SHA-256, SCRAM-SHA-512`,
		kafka + "-kafka-sasl PLAIN":                                             "-kafka-user is missing",
		kafka + "-kafka-sasl PLAIN -kafka-user x":                               "set TIDEMILL_KAFKA_PASSWORD",
		kafka + "-kafka-sasl PLAIN -kafka-user x -kafka-password-file /nowhere": "/nowhere",
		kafka + "-kafka-sasl PLAIN -kafka-user x -kafka-password-file " + empty: "does not hold one line",
		kafka + "-kafka-sasl PLAIN -kafka-user x -kafka-password-file " + two:   "does not hold one line",
	} {
		if _, _, err := parse(strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", args, err, want)
		}
	}
}
