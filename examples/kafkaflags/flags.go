// Package kafkaflags are the command-line flags of programs that run on Kafka, the
// same ones in every example and in tidemill itself.
//
//	var onKafka kafkaflags.Flags
//	onKafka.Register(flag.CommandLine)
//	onKafka.RegisterApplication(flag.CommandLine)
//	flag.Parse()
//	cfg := runtime.Config{Dir: "data"}
//	err := onKafka.Apply(&cfg) // cfg.Kafka stays nil without -kafka
//
// There is no flag for a password: the arguments of a process are visible to
// everybody on its machine. It comes from a file or from the environment, and is
// never printed.
package kafkaflags

import (
	"flag"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// PasswordEnv is the environment variable that holds the password of -kafka-sasl if
// no file does.
const PasswordEnv = "TIDEMILL_KAFKA_PASSWORD"

// Flags are the flags and, after parsing, what they say. The zero value is ready to
// be registered.
type Flags struct {
	// Dash is what flags begin with in messages; default "-".
	Dash string
	// GiveUp is the default of -kafka-give-up; default 1 min.
	GiveUp time.Duration

	brokers            brokerList
	tls                optionalBool
	ca, cert, key      string
	mechanism, user    string
	passwordFile       string
	replication        int
	minInSync          int
	transactionTimeout time.Duration
	create             bool
}

// Register adds the flags that say where the cluster is and how to log in.
func (f *Flags) Register(fs *flag.FlagSet) {
	if f.Dash == "" {
		f.Dash = "-"
	}
	if f.GiveUp == 0 {
		f.GiveUp = time.Minute
	}
	fs.Var(&f.brokers, "kafka", "`host:port` of brokers of an Apache Kafka cluster, several separated by commas")
	fs.Var(&f.tls, "kafka-tls", "use TLS, with the system's certificate authorities unless there is "+f.Dash+"kafka-ca; "+
		"by default it is used if any other flag asks for it, or a password is to be sent")
	fs.StringVar(&f.ca, "kafka-ca", "", "`file` with the certificate authorities of the brokers, PEM")
	fs.StringVar(&f.cert, "kafka-cert", "", "`file` with the certificate to show to the brokers, PEM")
	fs.StringVar(&f.key, "kafka-key", "", "`file` with the key of that certificate, PEM")
	fs.StringVar(&f.mechanism, "kafka-sasl", "", "`mechanism` to log in with: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
	fs.StringVar(&f.user, "kafka-user", "", "`name` to log in with")
	fs.StringVar(&f.passwordFile, "kafka-password-file", "", "`file` with the password (default the environment variable "+PasswordEnv+")")
	fs.DurationVar(&f.GiveUp, "kafka-give-up", f.GiveUp, "how long to go on while no broker answers")
}

// RegisterApplication adds the flags of a program that runs a topology.
func (f *Flags) RegisterApplication(fs *flag.FlagSet) {
	fs.BoolVar(&f.create, "kafka-create-topics", false, "create the topics that are missing; the engine's own are created in any case")
	fs.DurationVar(&f.transactionTimeout, "kafka-transaction-timeout", 0, "after how long brokers end the transaction of a process that is silent (default 10s)")
	f.RegisterReplicas(fs)
}

// RegisterReplicas adds the flags about topics that are created.
func (f *Flags) RegisterReplicas(fs *flag.FlagSet) {
	fs.IntVar(&f.replication, "kafka-replicas", 0, "`number` of replicas of topics that are created (default the brokers')")
	fs.IntVar(&f.minInSync, "kafka-min-insync", 0, "`number` of replicas that must have a record before it counts as written, of topics that are created (default the brokers')")
}

// Given reports whether a cluster is named.
func (f *Flags) Given() bool { return len(f.brokers) > 0 }

// Brokers are the addresses that were given, separated by commas.
func (f *Flags) Brokers() string { return strings.Join(f.brokers, ",") }

// brokerList is a flag that collects addresses.
type brokerList []string

// String implements flag.Value.
func (b *brokerList) String() string { return strings.Join(*b, ",") }

// Set implements flag.Value: it adds to what earlier flags have named.
func (b *brokerList) Set(text string) error {
	for address := range strings.SplitSeq(text, ",") {
		address = strings.TrimSpace(address)
		host, port, err := net.SplitHostPort(address)
		n, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || host == "" || portErr != nil || n == 0 {
			return fmt.Errorf("%q is not host:port, as in kafka-1.example.com:9092", address)
		}
		*b = append(*b, address)
	}
	return nil
}

// Type names the value in the usage of tidemill.
func (b *brokerList) Type() string { return "addresses" }

// optionalBool is a bool flag that knows whether it was given.
type optionalBool struct{ given, value bool }

// String implements flag.Value.
func (o *optionalBool) String() string {
	if !o.given {
		return ""
	}
	return strconv.FormatBool(o.value)
}

// Set implements flag.Value.
func (o *optionalBool) Set(text string) (err error) {
	o.given = true
	o.value, err = strconv.ParseBool(text)
	return err
}

// IsBoolFlag lets the flag stand without a value.
func (o *optionalBool) IsBoolFlag() bool { return true }

// Type names the value in the usage of tidemill.
func (o *optionalBool) Type() string { return "bool" }
