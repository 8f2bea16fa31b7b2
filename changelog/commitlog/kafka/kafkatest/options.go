package kafkatest

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// DefaultVersion is the version of Apache Kafka that is started if none is named.
const DefaultVersion = "4.3.1"

// Options says how a broker is to be. The zero value is a broker of
// DefaultVersion on free ports in a temporary directory.
type Options struct {
	// Version of Apache Kafka, as "4.3.1"; 4.0.0 or newer. Default DefaultVersion.
	Version string
	// Dir keeps everything of the broker, over restarts and over processes. By
	// default it is a temporary directory, which Close removes.
	Dir string
	// Port of the PLAINTEXT listener on 127.0.0.1; 0 takes a free one. All other
	// listeners take free ports. The ports stay the same as long as the Broker.
	Port int
	// Heap is the largest Java heap, as "512m". Default "1g".
	Heap string
	// Properties are broker settings beside and before the defaults of this
	// package. Listeners and directories are not meant to be set here.
	Properties map[string]string
	// Features are finalized feature levels other than the version's own, as
	// {"transaction.version": 1}. They are set when Dir is used first.
	Features map[string]int
	// Security adds listeners with TLS and passwords. Default none.
	Security *Security
	// Output gets what the broker logs, as it does so. Default: only the file
	// that Broker.LogFile names.
	Output io.Writer
}

func (o Options) withDefaults() Options {
	if o.Version == "" {
		o.Version = DefaultVersion
	}
	if o.Heap == "" {
		o.Heap = "1g"
	}
	if o.Security != nil {
		s := o.Security.withDefaults()
		o.Security = &s
	}
	return o
}

var heapSize = regexp.MustCompile(`^[1-9][0-9]*[kmgKMG]$`)

// Check says everything that is wrong with the options. Start does it too.
func (o Options) Check() error {
	o = o.withDefaults()
	var errs []error
	if _, err := parseVersion(o.Version); err != nil {
		errs = append(errs, err)
	}
	if o.Port < 0 || o.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d: want 1 to 65535, or 0 for a free one", o.Port))
	}
	if !heapSize.MatchString(o.Heap) {
		errs = append(errs, fmt.Errorf("heap %q: want a size such as 512m or 1g", o.Heap))
	}
	if o.Security != nil {
		errs = append(errs, o.Security.check())
	}
	return errors.Join(errs...)
}

// version is major, minor and patch level.
type version [3]int

func (v version) olderThan(w version) bool { return slices.Compare(v[:], w[:]) < 0 }

// parseVersion accepts plain releases only: the text becomes part of a path and
// of Maven's command line.
func parseVersion(text string) (v version, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != len(v) {
		return v, fmt.Errorf("Kafka version %q: want three numbers, such as %s", text, DefaultVersion)
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return v, fmt.Errorf("Kafka version %q: want three numbers, such as %s", text, DefaultVersion)
		}
		v[i] = int(n)
	}
	if v.olderThan(version{4, 0, 0}) {
		return v, fmt.Errorf("Kafka version %q: want 4.0.0 or newer", text)
	}
	return v, nil
}
