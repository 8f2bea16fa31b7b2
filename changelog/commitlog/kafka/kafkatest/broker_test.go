package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The tests of this file start brokers, and so need TIDEMILL_KAFKA, as all tests
// on a real Kafka do.

// buffer is an io.Writer for several goroutines.
type buffer struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.String()
}

// Each version that the project stands by starts, and Java's own producer and
// consumer work on it. VersionEnv restricts the test to one.
func TestEveryVersion(t *testing.T) {
	Address(t)
	versions := []string{DefaultVersion, "4.1.2"}
	if only := os.Getenv(VersionEnv); only != "" {
		versions = []string{only}
	}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			before := time.Now()
			b := Own(t, Options{Version: version})
			t.Logf("Kafka %s answered after %v", version, time.Since(before).Round(10*time.Millisecond))
			ctx := t.Context()
			create(t, b.Addr(), "smoke", 2, map[string]string{"cleanup.policy": "compact"})
			if err := CreateTopic(ctx, b.Addr(), "smoke", 2, nil); !errors.Is(err, ErrTopicExists) {
				t.Errorf("the same topic again: %v", err)
			}
			if err := CreateTopic(ctx, b.Addr(), "bad", 1, map[string]string{"cleanup.policy": "sometimes"}); err == nil || !strings.Contains(err.Error(), "sometimes") {
				t.Errorf("a topic with a wrong setting: %v", err)
			}
			produce(t, b, "smoke", "k1:v1", "k2:v2")
			if got := consume(t, b, "smoke", 2); got != "k1:v1 k2:v2" && got != "k2:v2 k1:v1" {
				t.Errorf("consumed %q", got)
			}
			described, err := b.Tool(ctx, ToolTopics, "--describe", "--topic", "smoke")
			if err != nil || !strings.Contains(described, "PartitionCount: 2") {
				t.Errorf("described %q, %v", described, err)
			}
			if _, err := b.Tool(ctx, ToolTopics, "--describe", "--topic", "missing"); err == nil || !strings.Contains(err.Error(), "missing") {
				t.Errorf("a tool that fails: %v", err)
			}
		})
	}
}

func create(t *testing.T, addr, topic string, partitions int32, settings map[string]string) {
	t.Helper()
	if err := CreateTopic(t.Context(), addr, topic, partitions, settings); err != nil {
		t.Fatal(err)
	}
}

// produce writes key:value lines with the console producer.
func produce(t *testing.T, b *Broker, topic string, lines ...string) {
	t.Helper()
	input := strings.NewReader(strings.Join(lines, "\n") + "\n")
	_, err := b.ToolWithInput(t.Context(), input, ToolConsoleProducer, "--topic", topic, "--property", "parse.key=true", "--property", "key.separator=:")
	if err != nil {
		t.Fatal(err)
	}
}

// consume reads n records from the beginning, as words key:value. Newer tools
// print a remark on --property among the records; older ones know no other name
// for it.
func consume(t *testing.T, b *Broker, topic string, n int) string {
	t.Helper()
	out, err := b.Tool(t.Context(), ToolConsoleConsumer, "--topic", topic, "--from-beginning", "--max-messages", fmt.Sprint(n),
		"--timeout-ms", "20000", "--property", "print.key=true", "--property", "key.separator=:")
	if err != nil {
		t.Fatal(err)
	}
	var records []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "Option --") {
			records = append(records, strings.TrimSpace(line))
		}
	}
	return strings.Join(records, " ")
}

// A broker that is killed, stopped, or closed and started by another process
// keeps its data and its address.
func TestKillStopStart(t *testing.T) {
	var output buffer
	dir := t.TempDir()
	b := Own(t, Options{Dir: dir, Output: &output})
	ctx, addr, id := t.Context(), b.Addr(), b.ClusterID()
	create(t, addr, "kept", 1, nil)
	produce(t, b, "kept", "k:before")
	if err := b.Start(ctx); err == nil || !strings.Contains(err.Error(), "already running") {
		t.Errorf("a second start: %v", err)
	}
	for name, end := range map[string]func() error{"kill": b.Kill, "stop": b.Stop} {
		ended := b.Ended()
		before := time.Now()
		if err := end(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("%s took %v", name, time.Since(before).Round(time.Millisecond))
		<-ended
		if err := end(); err != nil {
			t.Errorf("%s of a broker that is down: %v", name, err)
		}
		if err := ready(ctx, addr, id); err == nil {
			t.Errorf("it answers after %s", name)
		}
		before = time.Now()
		if err := b.Start(ctx); err != nil {
			t.Fatalf("start after %s: %v", name, err)
		}
		t.Logf("start after %s took %v", name, time.Since(before).Round(time.Millisecond))
	}
	if got := consume(t, b, "kept", 1); got != "k:before" {
		t.Errorf("consumed %q", got)
	}
	if b.Addr() != addr || output.String() == "" {
		t.Errorf("address %s, before %s; output %q", b.Addr(), addr, output.String())
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again := Own(t, Options{Dir: dir})
	if again.ClusterID() != id || consume(t, again, "kept", 1) != "k:before" {
		t.Errorf("in the same directory: cluster %s, before %s", again.ClusterID(), id)
	}
}

func TestPauseResume(t *testing.T) {
	b := Own(t, Options{})
	busy := func() time.Duration {
		cpu, err := b.CPUTime()
		if err != nil {
			t.Fatal(err)
		}
		return cpu
	}
	if runtime.GOOS == "linux" && busy() < 500*time.Millisecond {
		t.Errorf("CPU time after the start %v", busy())
	}
	if err := b.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := ready(ctx, b.Addr(), b.ClusterID()); err == nil {
		t.Error("a paused broker answers")
	}
	if err := b.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := ready(t.Context(), b.Addr(), b.ClusterID()); err != nil {
		t.Errorf("after Resume: %v", err)
	}
	if err := b.Pause(); err != nil {
		t.Fatal(err)
	}
	before := busy()
	if err := b.Stop(); err != nil {
		t.Errorf("stop a paused broker: %v", err)
	}
	if busy() < before {
		t.Errorf("CPU time %v after the end, %v before", busy(), before)
	}
	if err := b.Pause(); err == nil {
		t.Error("pause a broker that is down: no error")
	}
}

// What the broker says against its settings is in the error, and nothing stays.
func TestBrokerThatCannotStart(t *testing.T) {
	Address(t)
	before := temporaryDirs(t)
	_, err := Start(t.Context(), Options{Version: os.Getenv(VersionEnv), Properties: map[string]string{"log.segment.bytes": "-7"}})
	if err == nil || !strings.Contains(err.Error(), "log.segment.bytes") {
		t.Errorf("error %v: want one that names log.segment.bytes", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Start(t.Context(), Options{Port: l.Addr().(*net.TCPAddr).Port})
	if err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Errorf("a port in use: %v", err)
	}
	if after := temporaryDirs(t); after != before {
		t.Errorf("temporary directories %d, before %d", after, before)
	}
}

// A broker that ends after its format, with the end of its log in the error, and
// one that ends later by itself.
func TestBrokerThatEndsByItself(t *testing.T) {
	b := Own(t, Options{})
	if err := b.mu.process.os.Kill(); err != nil {
		t.Fatal(err)
	}
	<-b.Ended()
	if err := b.Stop(); err == nil || !strings.Contains(err.Error(), "had ended by itself: signal: killed") {
		t.Errorf("stop: %v", err)
	}
	if err := os.WriteFile(b.file(brokerFile), []byte(encodeProperties(b.properties())+"num.io.threads=none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := b.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "num.io.threads") || !strings.Contains(err.Error(), "it has ended: exit status 1") {
		t.Errorf("start: %v", err)
	}
}

func temporaryDirs(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "tidemill-kafka-") {
			n++
		}
	}
	return n
}

// An older transaction protocol can be had on a newer broker.
func TestFeatures(t *testing.T) {
	b := Own(t, Options{Features: map[string]int{"transaction.version": 1}})
	request := kmsg.NewPtrApiVersionsRequest()
	request.ClientSoftwareName, request.ClientSoftwareVersion = "tidemill", "test"
	answer, err := ask(t.Context(), b.Addr(), 3, request)
	if err != nil {
		t.Fatal(err)
	}
	levels := map[string]int16{}
	for _, f := range answer.(*kmsg.ApiVersionsResponse).FinalizedFeatures {
		levels[f.Name] = f.MaxVersionLevel
	}
	if levels["transaction.version"] != 1 || levels["group.version"] < 1 {
		t.Errorf("features %v: want transaction.version 1", levels)
	}
}
