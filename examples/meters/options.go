package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/tidemill/tidemill/topology"
)

// options are the flags.
type options struct {
	readings, dir, listen, out string
	partitions                 int
	emission                   topology.Emission
	exit                       bool
}

// maxPartitions bounds -partitions: each partition is a task with stores of its own.
const maxPartitions = 256

const usage = `Usage: meters [flags]

Computes the average consumption per meter and hour, and over the last hour anew
every 15 minutes, and serves both over HTTP. Started again on the same directory,
it continues.

`

// parseFlags reads the command line. flag.ErrHelp means that the usage was asked
// for and has been written to help.
func parseFlags(args []string, help io.Writer) (o options, err error) {
	var emit string
	fs := flag.NewFlagSet("meters", flag.ContinueOnError)
	fs.StringVar(&o.readings, "readings", "", "`file` of readings, CSV meter_id,timestamp,kwh, plain or gzip; - for standard input (default the bundled sample)")
	fs.StringVar(&o.dir, "dir", "data/meters", "`directory` of the log and the state")
	fs.IntVar(&o.partitions, "partitions", 4, "`number` of partitions; fixed when the directory is made")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`address` of the HTTP server; empty for none")
	fs.StringVar(&emit, "emit", "update", "`when` results are written: with every update, once per commit, or when the window closes (update, commit, close)")
	fs.BoolVar(&o.exit, "exit", false, "stop when everything is processed, instead of serving queries")
	fs.StringVar(&o.out, "out", "", "`file` to write the hourly results to at the end, CSV meter_id,window_start,mean_kwh")
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	if err = fs.Parse(args); err == nil {
		err = o.check(fs, emit)
	}
	if err != nil {
		fmt.Fprint(help, usageOf(fs))
	}
	return o, err
}

func (o *options) check(fs *flag.FlagSet, emit string) error {
	emissions := map[string]topology.Emission{"update": topology.OnUpdate, "commit": topology.OnCommit, "close": topology.OnClose}
	var known bool
	if o.emission, known = emissions[emit]; !known {
		return fmt.Errorf("-emit %q is not one of update, commit, close", emit)
	}
	if o.partitions < 1 || o.partitions > maxPartitions {
		return fmt.Errorf("-partitions %d is not between 1 and %d", o.partitions, maxPartitions)
	}
	if o.dir == "" {
		return errors.New("-dir is empty: name the directory for the log and the state")
	}
	if _, port, err := net.SplitHostPort(o.listen); o.listen != "" && (err != nil || port == "") {
		return fmt.Errorf("-listen %q is not host:port, as in 127.0.0.1:8080", o.listen)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%q is not a flag: name the file with -readings", fs.Arg(0))
	}
	return nil
}

func usageOf(fs *flag.FlagSet) string {
	var b strings.Builder
	b.WriteString(usage)
	fs.SetOutput(&b)
	fs.PrintDefaults()
	return b.String()
}
