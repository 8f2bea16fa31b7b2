package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/tidemill/tidemill/examples/kafkaflags"
	"github.com/tidemill/tidemill/examples/meters/metering"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/topology"
)

// options are the flags.
type options struct {
	readings, out string
	job           metering.Job
	kafka         kafkaflags.Flags
	cfg           runtime.Config
	exit          bool
}

// maxPartitions bounds -partitions: each partition is a task with stores of its own.
const maxPartitions = 256

const usage = `Usage: meters [flags]

Computes the average consumption per meter and hour, and over the last hour anew
every 15 minutes, and serves both over HTTP. Started again on the same directory,
it continues.

With -kafka it runs on an Apache Kafka cluster. There it sends readings only if
-readings says which; without, it processes what others send. Several processes with
the same topics share the work, each with its own -dir and -listen.

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 no broker of -kafka answers.

`

// parseFlags reads the command line. flag.ErrHelp means that the usage was asked
// for and has been written to help.
func parseFlags(args []string, help io.Writer) (o options, err error) {
	var emit string
	var partitions int
	fs := flag.NewFlagSet("meters", flag.ContinueOnError)
	fs.StringVar(&o.readings, "readings", "", "`file` of readings, CSV meter_id,timestamp,kwh, plain or gzip; - for standard input, "+
		"sample for the bundled sample (default the sample; none with -kafka)")
	fs.StringVar(&o.cfg.Dir, "dir", "data/meters", "`directory` of the log and the state; with -kafka of the state only")
	fs.IntVar(&partitions, "partitions", 4, "`number` of partitions; fixed when the directory or the topics are made. With -kafka the default is what the input topic has")
	fs.StringVar(&o.cfg.Listen, "listen", "127.0.0.1:8080", "`address` of the HTTP server; empty for none")
	fs.StringVar(&emit, "emit", "update", "`when` results are written: with every update, once per commit, or when the window closes (update, commit, close)")
	fs.BoolVar(&o.exit, "exit", false, "stop when everything is processed, instead of serving queries")
	fs.StringVar(&o.out, "out", "", "`file` to write the hourly results to at the end, CSV meter_id,window_start,mean_kwh")
	o.kafka.Register(fs)
	o.kafka.RegisterApplication(fs)
	fs.StringVar(&o.cfg.Instance, "instance", "", "`name` of this process among those that share the work (with -kafka; default one that is made and kept in -dir)")
	fs.DurationVar(&o.cfg.SessionTimeout, "session-timeout", 0, "how long the others wait for this process when it is silent, before they take its tasks (with -kafka; default 30s)")
	fs.StringVar(&o.job.Prefix, "prefix", "", "`text` before the names of the application and its topics, for several users of one cluster (with -kafka)")
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	if err = fs.Parse(args); err == nil {
		err = o.check(fs, emit, partitions)
	}
	if err != nil {
		fmt.Fprint(help, usageOf(fs))
	}
	return o, err
}

func (o *options) check(fs *flag.FlagSet, emit string, partitions int) error {
	emissions := map[string]topology.Emission{"update": topology.OnUpdate, "commit": topology.OnCommit, "close": topology.OnClose}
	var known bool
	if o.job.Emit, known = emissions[emit]; !known {
		return fmt.Errorf("-emit %q is not one of update, commit, close", emit)
	}
	if partitions < 1 || partitions > maxPartitions {
		return fmt.Errorf("-partitions %d is not between 1 and %d", partitions, maxPartitions)
	}
	if o.cfg.Dir == "" {
		return errors.New("-dir is empty: name the directory for the log and the state")
	}
	if _, port, err := net.SplitHostPort(o.cfg.Listen); o.cfg.Listen != "" && (err != nil || port == "") {
		return fmt.Errorf("-listen %q is not host:port, as in 127.0.0.1:8080", o.cfg.Listen)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%q is not a flag: name the file with -readings", fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	o.job.Partitions = int32(partitions)
	if o.kafka.Given() && !given["partitions"] {
		o.job.Partitions = 0
	}
	return o.checkShared(given)
}

// prefix is what Kafka allows in names of topics.
var prefix = regexp.MustCompile(`^[a-zA-Z0-9._-]{0,100}$`)

// checkShared looks at the flags of a process that is one of several.
func (o *options) checkShared(given map[string]bool) error {
	for _, name := range []string{"instance", "session-timeout", "prefix"} {
		if given[name] && !o.kafka.Given() {
			return fmt.Errorf("-%s without -kafka: without a cluster there is one process only", name)
		}
	}
	if !prefix.MatchString(o.job.Prefix) {
		return fmt.Errorf("-prefix %q may have letters, digits and . _ - only, up to 100", o.job.Prefix)
	}
	if given["session-timeout"] && o.cfg.SessionTimeout < time.Second {
		return fmt.Errorf("-session-timeout %v is too short: want a second or more", o.cfg.SessionTimeout)
	}
	if err := o.kafka.Apply(&o.cfg); err != nil || o.cfg.Kafka == nil || o.cfg.SessionTimeout == 0 {
		return err
	}
	// What a dead process has open has to end before its membership does.
	setDefault(&o.cfg.Kafka.TransactionTimeout, min(o.cfg.SessionTimeout/2, 10*time.Second))
	if open := o.cfg.Kafka.TransactionTimeout; open >= o.cfg.SessionTimeout {
		return fmt.Errorf("-kafka-transaction-timeout %v must be below -session-timeout %v", open, o.cfg.SessionTimeout)
	}
	return nil
}

func setDefault(d *time.Duration, otherwise time.Duration) {
	if *d == 0 {
		*d = otherwise
	}
}

// source says what to import; none means nothing.
func (o *options) source() (name string, none bool) {
	switch {
	case o.readings == "" && o.kafka.Given():
		return "", true
	case o.readings == "sample":
		return "", false
	}
	return o.readings, false
}

// place says where log and state are, for messages.
func (o *options) place() string {
	if o.kafka.Given() {
		return "Kafka at " + o.kafka.Brokers()
	}
	return o.cfg.Dir
}

// anew says how to begin with nothing.
func (o *options) anew() string {
	if o.kafka.Given() {
		return "give another name to everything with -prefix"
	}
	return "give an empty directory with -dir"
}

func usageOf(fs *flag.FlagSet) string {
	var b strings.Builder
	b.WriteString(usage)
	fs.SetOutput(&b)
	fs.PrintDefaults()
	return b.String()
}
