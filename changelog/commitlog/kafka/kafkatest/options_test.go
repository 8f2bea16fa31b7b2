package kafkatest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWrongOptions(t *testing.T) {
	for want, o := range map[string]Options{
		`version "4.3": want three numbers`:     {Version: "4.3"},
		`version "../../x": want three`:         {Version: "../../x"},
		`version "4.3.x": want three`:           {Version: "4.3.x"},
		`version "3.9.1": want 4.0.0 or newer`:  {Version: "3.9.1"},
		`port 70000: want 1 to 65535`:           {Port: 70000},
		`heap "lots": want a size such as 512m`: {Heap: "lots"},
		`user "a b": name and password must be`: {Security: &Security{Users: map[string]string{"a b": "x"}}},
		`user "eve": name and password must be`: {Security: &Security{Users: map[string]string{"eve": `";`}}},
	} {
		_, err := Start(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", o, err, want)
		}
		if err != nil && strings.Contains(err.Error(), `";`) {
			t.Errorf("error %q shows a password", err)
		}
	}
}

func TestVersionsAreOrderedByNumber(t *testing.T) {
	versions := []string{"4.0.0", "4.1.2", "4.3.1", "4.10.0", "5.0.0"}
	for i, a := range versions {
		for k, b := range versions {
			va, err1 := parseVersion(a)
			vb, err2 := parseVersion(b)
			if err := errors.Join(err1, err2); err != nil || va.olderThan(vb) != (i < k) {
				t.Errorf("%s older than %s: %v, %v", a, b, va.olderThan(vb), err)
			}
		}
	}
}

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 20 || ports[0] < firstPort || ports[19] >= lastPort {
		t.Errorf("ports %d", ports)
	}
}

// Values with any characters come out of a properties file as they went in, and
// the user's settings go before all others.
func TestProperties(t *testing.T) {
	got := encodeProperties(map[string]string{"b": `C:\x` + "\n", "a": " x", "c": "#=:"})
	if want := "a=\\ x\nb=C:\\\\x\\n\nc=#=:\n"; got != want {
		t.Errorf("properties %q, want %q", got, want)
	}
	b := &Broker{
		options:   Options{Properties: map[string]string{"group.min.session.timeout.ms": "7", "own.setting": "1"}},
		dir:       "/d",
		listeners: map[string]string{ListenerPlaintext: "127.0.0.1:1", listenerController: "127.0.0.1:2"},
	}
	p := b.properties()
	for key, want := range map[string]string{
		"listeners":                    "CONTROLLER://127.0.0.1:2,PLAINTEXT://127.0.0.1:1",
		"advertised.listeners":         "PLAINTEXT://127.0.0.1:1",
		"controller.quorum.voters":     "1@127.0.0.1:2",
		"group.min.session.timeout.ms": "7",
		"own.setting":                  "1",
		"log.dirs":                     filepath.Join("/d", "log"),
	} {
		if p[key] != want {
			t.Errorf("%s is %q, want %q", key, p[key], want)
		}
	}
}

// A directory of a newer Kafka is refused before Kafka says so in its own words.
func TestDirectoryOfANewerKafka(t *testing.T) {
	b := &Broker{options: Options{Version: "4.1.2"}, dir: t.TempDir()}
	for name, text := range map[string]string{clusterIDFile: "AAAAAAAAAAAAAAAAAAAAAA", formattedFile: "4.3.1"} {
		if err := os.WriteFile(b.file(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := b.format(t.Context())
	if err == nil || !strings.Contains(err.Error(), "was made by Kafka 4.3.1, which an older Kafka 4.1.2 cannot read") {
		t.Errorf("error %v", err)
	}
	b.options.Version = "4.10.0"
	if err := b.format(t.Context()); err != nil || b.ClusterID() != "AAAAAAAAAAAAAAAAAAAAAA" {
		t.Errorf("a newer Kafka: cluster %q, error %v", b.ClusterID(), err)
	}
}

func TestClusterIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newClusterID()
		if len(id) != 22 || id[0] == '-' || id[0] == '_' || seen[id] {
			t.Fatalf("cluster id %q", id)
		}
		seen[id] = true
	}
}

func TestCPUTimeOfALine(t *testing.T) {
	line := "42 (java (x) 1) S 1 42 42 0 -1 4194560 900 0 1 0 250 31 0 0 20 0 70 0 5000 1 1 1"
	if got, err := parseCPUTime([]byte(line)); err != nil || got != 2810*time.Millisecond {
		t.Errorf("CPU time %v, %v: want 2.81s", got, err)
	}
	for _, bad := range []string{"", "42", "42 (java) S 1 2", strings.Replace(line, "250", "many", 1)} {
		if _, err := parseCPUTime([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestLogTailBeginsAtItsRun(t *testing.T) {
	b := &Broker{dir: t.TempDir()}
	if got := b.LogTail(); !strings.Contains(got, "no such file") {
		t.Errorf("tail without a file: %q", got)
	}
	text := "first run\nsecond run\n"
	if err := os.WriteFile(b.LogFile(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	b.mu.logFrom = int64(len("first run\n"))
	if got := b.LogTail(); got != "second run" {
		t.Errorf("tail %q", got)
	}
	b.mu.logFrom = int64(len(text))
	if got := b.LogTail(); got != "(it has logged nothing)" {
		t.Errorf("tail %q", got)
	}
}
