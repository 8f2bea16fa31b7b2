package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Addr is host:port of the PLAINTEXT listener.
func (b *Broker) Addr() string { return b.listeners[ListenerPlaintext] }

// Listener is host:port of a listener, as ListenerSASL; "" if there is none.
func (b *Broker) Listener(name string) string { return b.listeners[name] }

// Version is the version of Kafka that runs.
func (b *Broker) Version() string { return b.options.Version }

// ClusterID is what the broker calls itself.
func (b *Broker) ClusterID() string { return b.clusterID }

// Dir is where the broker keeps everything.
func (b *Broker) Dir() string { return b.dir }

// Certificates are those of the listeners with TLS; nil without
// Options.Security.
func (b *Broker) Certificates() *Certificates { return b.certificates }

// Java is the Java program that runs the broker.
func (b *Broker) Java() string { return b.installation.java }

// ClassPath names all jars of the broker, its tools and Kafka Streams, for
// java -cp and javac -cp.
func (b *Broker) ClassPath() string { return filepath.Join(b.installation.jars, "*") }

// LogFile is the file of what the broker logs, over all its runs.
func (b *Broker) LogFile() string { return b.file("broker.log") }

// LogTail is the end of what the broker has logged since its last start.
func (b *Broker) LogTail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logTailLocked()
}

func (b *Broker) logTailLocked() string {
	const most = 64 << 10
	text, err := readTail(b.LogFile(), b.mu.logFrom, most)
	switch {
	case err != nil:
		return fmt.Sprintf("(%v)", err)
	case len(bytes.TrimSpace(text)) == 0:
		return "(it has logged nothing)"
	}
	return lastLines(text, 60)
}

// readTail reads a file from an offset on, and no more than its last bytes.
func readTail(path string, from, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from = max(from, info.Size()-most)
	return io.ReadAll(io.NewSectionReader(f, from, max(0, info.Size()-from)))
}

// The command-line classes of Kafka.
const (
	ToolTopics          = "org.apache.kafka.tools.TopicCommand"
	ToolGroups          = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	ToolConsoleProducer = "org.apache.kafka.tools.ConsoleProducer"
	ToolConsoleConsumer = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	ToolConfigs         = "kafka.admin.ConfigCommand"
	ToolAcls            = "org.apache.kafka.tools.AclCommand"
	ToolTransactions    = "org.apache.kafka.tools.TransactionsCommand"
)

// Command is a Java program with everything of Kafka on its class path, tuned
// for a short run. It ends with the context, and with this process. The caller
// sets its input and output and runs it.
func (b *Broker) Command(ctx context.Context, class string, args ...string) *exec.Cmd {
	java := []string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.configurationFile=" + b.file(toolLogging), "-cp", b.ClassPath(), class}
	cmd := exec.CommandContext(ctx, b.installation.java, append(java, args...)...)
	cmd.SysProcAttr = childAttributes()
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Tool runs one of Kafka's command-line classes on this broker, that is with
// --bootstrap-server, and returns its standard output, about two seconds later.
// An error holds what the tool has said.
func (b *Broker) Tool(ctx context.Context, class string, args ...string) (string, error) {
	return b.ToolWithInput(ctx, nil, class, args...)
}

// ToolWithInput is Tool with a standard input, as the console producer wants it.
func (b *Broker) ToolWithInput(ctx context.Context, input io.Reader, class string, args ...string) (string, error) {
	cmd := b.Command(ctx, class, append([]string{"--bootstrap-server", b.Addr()}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := bytes.TrimSpace(append(stderr.Bytes(), stdout.Bytes()...))
		return stdout.String(), fmt.Errorf("%s: %w: %s", class, errors.Join(ctx.Err(), err), lastLines(said, 20))
	}
	return stdout.String(), nil
}
