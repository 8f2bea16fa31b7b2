package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka/kafkatest"
)

func newDev(env Env) *cobra.Command {
	return group("dev", "Help with development.", newDevKafka(env))
}

// devKafka runs a broker, until it is told to stop or until a command has ended.
type devKafka struct {
	env     Env
	options kafkatest.Options
	topics  []devTopic
	command []string // empty: until it is told to stop
}

func newDevKafka(env Env) *cobra.Command {
	d := &devKafka{env: env}
	cmd := &cobra.Command{
		Use:   "kafka [-- COMMAND ARGUMENTS...]",
		Short: "Run an Apache Kafka of one node.",
		Long: `Run an Apache Kafka of one node on 127.0.0.1, until ^C or until COMMAND has ended.
It needs Java 17 or newer, and Maven the first time: then the jars of that version
come through Maven into the user's cache directory, or into $` + kafkatest.CacheEnv + `.

COMMAND runs with ` + kafkatest.AddressEnv + `, the broker's address, and ` + kafkatest.VersionEnv + `
in its environment, as the tests of this project want them. If it fails, so does
this command.

The broker is for development: anybody on this machine may use it, everything has
one replica, and what it keeps is gone at the end unless --dir is given.`,
		Example: `  tidemill dev kafka --topic meter-readings:4
  tidemill dev kafka --port 0 -- go test ./...`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case len(args) > 0 && dash != 0:
				return usagef("unexpected argument %q; a command to run comes behind --", args[0])
			case dash == 0 && len(args) == 0:
				return usagef("the command behind -- is missing")
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&d.options.Port, "port", 9092, "port of the broker; 0 takes a free one")
	flags.StringVar(&d.options.Dir, "dir", "", "`directory` that keeps everything for the next time (default one that is removed at the end)")
	flags.StringVar(&d.options.Version, "version", kafkatest.DefaultVersion, "version of Apache Kafka")
	topics := flags.StringArray("topic", nil, "create the topic `name:partitions`; may be given several times")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		d.command = args
		if d.topics, err = parseTopics(*topics); err != nil {
			return err
		}
		if err := d.options.Check(); err != nil {
			return usagef("%w", err)
		}
		// The end of a terminal session or of a service is as good a reason as ^C.
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		return d.run(ctx)
	}
	return cmd
}

// devTopic is a topic to be created.
type devTopic struct {
	name       string
	partitions int32
}

func parseTopics(texts []string) (topics []devTopic, err error) {
	for _, text := range texts {
		name, number, ok := strings.Cut(text, ":")
		n, err := strconv.ParseInt(number, 10, 32)
		if !ok || err != nil || n < 1 || name == "" {
			return nil, usagef("--topic is %q: want name:partitions, such as meter-readings:4", text)
		}
		topics = append(topics, devTopic{name, int32(n)})
	}
	return topics, nil
}

func (d *devKafka) run(ctx context.Context) (err error) {
	fmt.Fprintf(d.env.Stderr, "Starting Apache Kafka %s. The first time, Maven fetches it; that takes a while.\n", d.options.Version)
	b, err := kafkatest.Start(ctx, d.options)
	if err != nil {
		return d.explain(ctx, err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for _, t := range d.topics {
		err := kafkatest.CreateTopic(ctx, b.Addr(), t.name, t.partitions, nil)
		if err != nil && !errors.Is(err, kafkatest.ErrTopicExists) {
			return err
		}
	}
	if len(d.command) > 0 {
		return d.runCommand(ctx, b)
	}
	d.announce(b)
	select {
	case <-ctx.Done():
		fmt.Fprintln(d.env.Stderr, "Stopping Apache Kafka.")
	case <-b.Ended(): // Close says why
	}
	return nil
}

// explain turns what a start has failed with into what to do.
func (d *devKafka) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return errors.New("stopped before Apache Kafka answered")
	case errors.Is(err, kafkatest.ErrPortInUse):
		return fmt.Errorf("%w; --port takes another, and --port 0 a free one", err)
	}
	return err
}

func (d *devKafka) announce(b *kafkatest.Broker) {
	w := d.env.Stdout
	fmt.Fprintf(w, "Apache Kafka %s is at %s\n", b.Version(), b.Addr())
	for _, t := range d.topics {
		fmt.Fprintf(w, "  topic      %s\n", t.name)
	}
	kept := " (removed at the end)"
	if d.options.Dir != "" {
		kept = " (kept)"
	}
	fmt.Fprintf(w, "  data       %s%s\n", b.Dir(), kept)
	fmt.Fprintf(w, "  log        %s\n", b.LogFile())
	fmt.Fprintf(w, "Try it:      go run ./examples/meters -kafka %s -kafka-create-topics -readings sample\n", b.Addr())
	fmt.Fprintln(w, "Stop it with ^C.")
}

// runCommand runs the command until it ends, the broker ends, or ^C.
func (d *devKafka) runCommand(ctx context.Context, b *kafkatest.Broker) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.command[0], d.command[1:]...)
	cmd.Env = append(os.Environ(), kafkatest.AddressEnv+"="+b.Addr(), kafkatest.VersionEnv+"="+b.Version())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = d.env.Stdin, d.env.Stdout, d.env.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	ended := b.Ended()
	go func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(d.command, " "), err)
	}
	return nil
}
