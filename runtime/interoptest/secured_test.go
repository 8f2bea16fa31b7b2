package interoptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// The users of the broker. Each password is a word that nothing else contains.
var users = map[string]string{"alice": "al1ce-hidden", "bob": "b0b-hidden"}

const wrongPassword = "wr0ng-hidden"

var wordCount = state.KeyValue("word-count", serde.String, serde.Int64)

// counting is an application with everything that talks to a cluster: source, store,
// repartition, sink.
func counting(app string) (topology.Topic[string, string], func() (*topology.Topology, error)) {
	words := topology.Topic[string, string]{Name: app + "-words", Partitions: 2, Key: serde.String, Value: serde.String}
	byWord := topology.Topic[string, string]{Name: app + "-by-word", Partitions: 2, Key: serde.String, Value: serde.String}
	counts := topology.Topic[string, int64]{Name: app + "-counts", Partitions: 2, Key: serde.String, Value: serde.Int64}
	return words, func() (*topology.Topology, error) {
		b := topology.New(app)
		in := b.Sub("in")
		keyed := topology.SelectKey(topology.Source(in, words), func(_, word string) string { return word })
		topology.Count(keyed.Repartition(byWord).GroupByKey(), wordCount).ToStream().To(counts)
		return b.Build()
	}
}

// output is what a process would have printed: its log and its errors.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wantNoSecret looks for passwords in what was printed.
func (o *output) wantNoSecret(t *testing.T) {
	t.Helper()
	text := o.String()
	for _, secret := range []string{users["alice"], users["bob"], wrongPassword} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("a password is in the output: %q", text[max(0, i-200):i+len(secret)])
		}
	}
}

func (b *bench) listener(name string, config *tls.Config, sasl kafka.SASL, out *output) *kafka.Config {
	return &kafka.Config{Brokers: []string{b.Listener(name)}, TLS: config, SASL: sasl, TransactionTimeout: 5 * time.Second,
		GiveUp: 30 * time.Second, Logger: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

func (b *bench) login(mechanism, user, password string, out *output) *kafka.Config {
	return b.listener(kafkatest.ListenerSASL, b.Certificates().TLS(), kafka.SASL{Mechanism: mechanism, Username: user, Password: password}, out)
}

// secured: the whole engine runs over every kind of listener, and whoever is
// refused learns why.
func (b *bench) secured(t *testing.T) {
	for _, resource := range []kafkago.ResourceType{kafkago.ResourceTypeTopic, kafkago.ResourceTypeGroup, kafkago.ResourceTypeTransactionalID} {
		b.allow(t, "alice", kafkago.ACLOperationTypeAll, resource, "*")
		b.allow(t, "CN="+kafkatest.ClientName, kafkago.ACLOperationTypeAll, resource, "*")
	}
	out := &output{}
	for name, cluster := range map[string]*kafka.Config{
		"tls":           b.listener(kafkatest.ListenerSSL, b.Certificates().TLS(), kafka.SASL{}, out),
		"mtls":          b.listener(kafkatest.ListenerMutual, b.Certificates().MutualTLS(), kafka.SASL{}, out),
		"plain":         b.login("PLAIN", "alice", users["alice"], out),
		"scram-sha-512": b.login("SCRAM-SHA-512", "alice", users["alice"], out),
	} {
		t.Run(name, func(t *testing.T) {
			words, build := counting(name)
			cfg := config(t.TempDir(), cluster)
			cfg.CreateTopics = true
			app, stop := start(t, build, cfg)
			count(t, app, words)
			stop()
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		_, build := counting("refused")
		cluster := b.login("SCRAM-SHA-512", "alice", wrongPassword, out)
		err := runtime.Run(t.Context(), build, config(t.TempDir(), cluster))
		if !errors.Is(err, commitlog.ErrDenied) || !strings.Contains(err.Error(), cluster.Brokers[0]) {
			t.Errorf("want the broker named that refuses the login: %v", err)
		}
		fmt.Fprintf(out, "%v %+v %#v %+v", err, err, err, cluster)
	})
	out.wantNoSecret(t)
}

// count sends words through an application and asks its store.
func count(t *testing.T, app *runtime.App, words topology.Topic[string, string]) {
	t.Helper()
	p, err := runtime.NewProducer(t.Context(), app, words, "test")
	must(t, err)
	for _, word := range []string{"a", "b", "a", "c", "a"} {
		must(t, p.Send("", word))
	}
	must(t, p.Commit(t.Context(), runtime.SourcePosition{Offset: 5}))
	must(t, p.Close())
	processed(t, app)
	if n, _, _, err := query.Get(t.Context(), app, wordCount, "a"); n != 3 || err != nil {
		t.Errorf("a is counted %d times, want 3: %v", n, err)
	}
}

func (b *bench) allow(t *testing.T, user string, operation kafkago.ACLOperationType, resource kafkago.ResourceType, name string) {
	t.Helper()
	client := &kafkago.Client{Addr: kafkago.TCP(b.Addr()), Timeout: 10 * time.Second}
	answer, err := client.CreateACLs(t.Context(), &kafkago.CreateACLsRequest{ACLs: []kafkago.ACLEntry{{
		ResourceType: resource, ResourceName: name, ResourcePatternType: kafkago.PatternTypeLiteral,
		Principal: "User:" + user, Host: "*", Operation: operation, PermissionType: kafkago.ACLPermissionTypeAllow,
	}}})
	must(t, err)
	must(t, errors.Join(answer.Errors...))
	time.Sleep(100 * time.Millisecond) // the broker reads what the controller has decided
}

// attempt runs an application until it has processed something or has failed.
func attempt(t *testing.T, build func() (*topology.Topology, error), words topology.Topic[string, string], cfg runtime.Config) error {
	t.Helper()
	top, err := build()
	must(t, err)
	app, err := runtime.New(t.Context(), top, cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	err = app.WaitReady(ctx)
	if err == nil {
		err = sendOne(ctx, app, words)
	}
	if err == nil {
		err = app.WaitProcessed(ctx)
	}
	cancel()
	return errors.Join(err, <-ended)
}

func sendOne(ctx context.Context, app *runtime.App, words topology.Topic[string, string]) error {
	p, err := runtime.NewProducer(ctx, app, words, "test")
	if err != nil {
		return err
	}
	err = p.Send("", "a")
	if err == nil {
		err = p.Commit(ctx, runtime.SourcePosition{Offset: p.Position().Offset + 1})
	}
	return errors.Join(err, p.Close())
}
