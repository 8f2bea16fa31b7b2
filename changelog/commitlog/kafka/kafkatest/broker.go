package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Broker is a Kafka of one node. Its methods may be called from several
// goroutines.
type Broker struct {
	options      Options
	installation installation
	dir          string
	temporary    bool // dir is removed by Close
	clusterID    string
	certificates *Certificates
	listeners    map[string]string // fixed once the first start has worked

	mu struct {
		sync.Mutex
		process *process // nil before the first start and after Kill and Stop
		ended   time.Duration
		logFrom int64 // where the log of the present run begins
	}
}

const (
	startPatience = time.Minute
	stopPatience  = 30 * time.Second
)

// Start starts a broker and returns when it answers, which takes 4 s to 6 s, and
// as long as the download takes the first time. The context bounds only that. An
// error names what is missing and how to install it, or holds the end of the
// broker's log; nothing is left running.
func Start(ctx context.Context, o Options) (*Broker, error) {
	o = o.withDefaults()
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("options of the broker: %w", err)
	}
	if o.Port != 0 {
		if err := inUse(o.Port); err != nil {
			return nil, err
		}
	}
	found, err := findInstallation(ctx, o.Version)
	if err != nil {
		return nil, err
	}
	b := &Broker{options: o, installation: found}
	if err := b.firstStart(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// firstStart makes the directory and starts the broker, with other ports if one
// was taken in between.
func (b *Broker) firstStart(ctx context.Context) error {
	if err := b.makeDir(); err != nil {
		return err
	}
	if b.options.Security != nil {
		c, err := newCertificates(b.file("tls"))
		if err != nil {
			return fmt.Errorf("certificates of the broker: %w", err)
		}
		b.certificates = c
	}
	for attempt := 1; ; attempt++ {
		if err := b.chooseListeners(); err != nil {
			return err
		}
		if err := b.writeConfig(); err != nil {
			return err
		}
		if err := b.format(ctx); err != nil {
			return err
		}
		err := b.Start(ctx)
		if err == nil || attempt == 5 || !strings.Contains(b.LogTail(), "Address already in use") {
			return err
		}
	}
}

func (b *Broker) makeDir() (err error) {
	if b.options.Dir == "" {
		b.dir, err = os.MkdirTemp("", "tidemill-kafka-")
		b.temporary = err == nil
		return err
	}
	if b.dir, err = filepath.Abs(b.options.Dir); err != nil {
		return err
	}
	return os.MkdirAll(b.dir, 0o755)
}

func (b *Broker) chooseListeners() error {
	names := []string{listenerController, ListenerPlaintext}
	if b.options.Security != nil {
		names = append(names, ListenerSSL, ListenerMutual, ListenerSASL)
	}
	ports, err := freePorts(len(names))
	if err != nil {
		return err
	}
	b.listeners = map[string]string{}
	for i, name := range names {
		b.listeners[name] = local(ports[i])
	}
	if b.options.Port != 0 {
		b.listeners[ListenerPlaintext] = local(b.options.Port)
	}
	return nil
}

// Start starts the broker again after Kill or Stop, on the same data and ports,
// and returns when it answers.
func (b *Broker) Start(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.process != nil && b.mu.process.running() {
		return fmt.Errorf("the broker at %s is already running", b.Addr())
	}
	p, err := b.spawnLocked()
	if err != nil {
		return fmt.Errorf("start Kafka %s: %w", b.options.Version, err)
	}
	if err := b.awaitReady(ctx, p); err != nil {
		err = errors.Join(err, p.kill())
		return fmt.Errorf("start Kafka %s: %w; the end of its log:\n%s", b.options.Version, err, b.logTailLocked())
	}
	b.mu.process = p
	return nil
}

func (b *Broker) spawnLocked() (*process, error) {
	log, err := os.OpenFile(b.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := log.Stat()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	b.mu.logFrom = info.Size()
	cmd := exec.Command(b.installation.java, "-Xmx"+b.options.Heap, "-Dlog4j2.configurationFile="+b.file(brokerLogging),
		"-cp", b.ClassPath(), "kafka.Kafka", b.file(brokerFile))
	cmd.Dir = b.dir // where Java leaves a report if it crashes
	cmd.Stdout = log
	if b.options.Output != nil {
		cmd.Stdout = io.MultiWriter(log, b.options.Output)
	}
	cmd.Stderr = cmd.Stdout
	return startProcess(cmd, log.Close)
}

// awaitReady asks until the broker answers, or has ended.
func (b *Broker) awaitReady(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		last := ready(ctx, b.Addr(), b.clusterID)
		if last == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it has ended: %v", p.state)
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w, at last: %w", ctx.Err(), last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Kill ends the broker without warning, as a crash of its process does. A broker
// that is not running stays so.
func (b *Broker) Kill() error { return b.end((*process).kill) }

// Stop lets the broker end in order, and kills it after 30 s. That the broker had
// ended by itself before is an error with the end of its log.
func (b *Broker) Stop() error {
	return b.end(func(p *process) error {
		if !p.running() {
			return fmt.Errorf("the broker had ended by itself: %v; the end of its log:\n%s", p.state, b.logTailLocked())
		}
		return p.terminate(stopPatience)
	})
}

func (b *Broker) end(by func(*process) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.mu.process
	if p == nil {
		return nil
	}
	err := by(p)
	if p.running() {
		return err
	}
	b.mu.process = nil
	b.mu.ended += p.state.UserTime() + p.state.SystemTime()
	return err
}

// Close stops the broker and removes its directory if that is a temporary one.
func (b *Broker) Close() error {
	err := b.Stop()
	if b.temporary {
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}

// Pause freezes the broker: connections stay open, and nothing answers.
func (b *Broker) Pause() error { return b.signal(pause) }

// Resume lets a paused broker go on.
func (b *Broker) Resume() error { return b.signal(resume) }

func (b *Broker) signal(send func(*os.Process) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.process == nil {
		return errors.New("the broker is not running")
	}
	return send(b.mu.process.os)
}

// Ended is closed when the present run of the broker ends, however it does. It
// is closed already if the broker is not running.
func (b *Broker) Ended() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.process == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return b.mu.process.ended
}

// CPUTime is the time that the broker has spent on CPUs, over all its runs,
// exact to 10 ms. While the broker runs it is known on Linux only.
func (b *Broker) CPUTime() (time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.process == nil {
		return b.mu.ended, nil
	}
	now, err := b.mu.process.cpuTime()
	return b.mu.ended + now, err
}
