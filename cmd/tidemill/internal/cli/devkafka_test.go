package cli

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
)

// What is wrong with the command line is said before anything is tried.
func TestDevKafkaUsage(t *testing.T) {
	for args, want := range map[string]string{
		"dev":                             "which command? There are: kafka",
		"dev kafka extra":                 `unexpected argument "extra"; a command to run comes behind --`,
		"dev kafka extra -- true":         `unexpected argument "extra"`,
		"dev kafka --":                    "the command behind -- is missing",
		"dev kafka --port many":           "--port",
		"dev kafka --port 70000":          "port 70000: want 1 to 65535",
		"dev kafka --version 3.9.1":       `"3.9.1": want 4.0.0 or newer`,
		"dev kafka --version latest":      `"latest": want three numbers, such as 4.3.1`,
		"dev kafka --topic readings":      `--topic is "readings": want name:partitions`,
		"dev kafka --topic readings:none": `--topic is "readings:none": want name:partitions`,
		"dev kafka --topic readings:0":    "want name:partitions",
		"dev kafka --topic :4":            "want name:partitions",
	} {
		got := tidemill(t, nil, strings.Fields(args)...)
		if got.code != ExitUsage || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exit code %d, standard output %q, standard error %q, want %q in it", args, got.code, got.stdout, got.stderr, want)
		}
	}
	if got := tidemill(t, nil, "dev", "kafka", "-h"); got.code != ExitOK || !strings.Contains(got.stdout, "Java 17 or newer") {
		t.Errorf("help: %+v", got)
	}
}

func TestDevKafkaSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	t.Setenv(kafkatest.CacheEnv, t.TempDir())
	got := tidemill(t, nil, "dev", "kafka", "--port", "0")
	for _, want := range []string{"Java 17 or newer is needed", "no mvn on PATH"} {
		if got.code != ExitFailed || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%+v: want exit code 1 and %q", got, want)
		}
	}
}

func TestDevKafkaPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := tidemill(t, nil, "dev", "kafka", "--port", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	if got.code != ExitFailed || !strings.Contains(got.stderr, "--port takes another, and --port 0 a free one") {
		t.Errorf("%+v", got)
	}
}

// screen is a writer that a test can read while a command writes.
type screen struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.Buffer.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.Buffer.String()
}

// The broker runs in the foreground with the topics asked for, ends with ^C, and
// has everything again the next time.
func TestDevKafkaInTheForeground(t *testing.T) {
	kafkatest.Address(t)
	dir := filepath.Join(t.TempDir(), "kept")
	args := []string{"dev", "kafka", "--port", "0", "--dir", dir, "--version", version(), "--topic", "readings:3", "--topic", "averages:1"}
	for range 2 {
		ctx, interrupt := context.WithCancel(t.Context())
		var stdout, stderr screen
		code := make(chan int)
		go func() {
			code <- Main(ctx, Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}, args)
		}()
		for !strings.Contains(stdout.String(), "Stop it with ^C.") {
			select {
			case c := <-code:
				t.Fatalf("exit code %d: %s", c, stderr.String())
			case <-time.After(20 * time.Millisecond):
			}
		}
		addr := addressOf(stdout.String())
		if err := kafkatest.CreateTopic(ctx, addr, "readings", 3, nil); err == nil || !strings.Contains(err.Error(), "exists") {
			t.Errorf("at %q: the topic is not there: %v", addr, err)
		}
		interrupt()
		if c := <-code; c != ExitOK || !strings.Contains(stderr.String(), "Stopping Apache Kafka.") {
			t.Errorf("exit code %d, %s", c, stderr.String())
		}
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			t.Errorf("it still listens at %s", addr)
		}
	}
}

func version() string {
	if v := os.Getenv(kafkatest.VersionEnv); v != "" {
		return v
	}
	return kafkatest.DefaultVersion
}

// A command runs beside the broker and decides how it all ends.
func TestDevKafkaWithACommand(t *testing.T) {
	kafkatest.Address(t)
	run := func(script string) outcome {
		return tidemill(t, nil, "dev", "kafka", "--port", "0", "--version", version(), "--", "sh", "-c", script)
	}
	got := run(`echo "$TIDEMILL_KAFKA is $TIDEMILL_KAFKA_VERSION"`)
	if got.code != ExitOK || !strings.HasPrefix(got.stdout, "127.0.0.1:") || !strings.HasSuffix(got.stdout, " is "+version()+"\n") {
		t.Errorf("%+v", got)
	}
	got = run("exit 7")
	if got.code != ExitFailed || !strings.Contains(got.stderr, "sh -c exit 7: exit status 7") {
		t.Errorf("%+v", got)
	}
}

// The broker does not outlive a command that is killed without warning.
func TestDevKafkaKilled(t *testing.T) {
	kafkatest.Address(t)
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a child with its parent")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "dev", "kafka", "--port", "0", "--dir", t.TempDir(), "--version", version())
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var stdout, stderr screen
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for !strings.Contains(stdout.String(), "Stop it with ^C.") {
		select {
		case err := <-ended:
			t.Fatalf("%v: %s", err, stderr.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	addr := addressOf(stdout.String())
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatalf("the broker at %s lives on", addr)
		}
	}
}

// addressOf is the address in what the command has announced.
func addressOf(announced string) string {
	_, addr, _ := strings.Cut(announced, "go run ./examples/meters -kafka ")
	addr, _, _ = strings.Cut(addr, " ")
	return addr
}
