package runtime

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-multierror"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/runtime/internal/worker"
	"github.com/tidemill/tidemill/state"
)

// Config says how to run a topology. The zero value of every field but Dir is
// useful.
type Config struct {
	// Dir holds everything: the log in log/, the stores in state/. It is required,
	// and never a temporary directory by default, because it holds the only copy. On
	// Kafka it holds no log, and each process has its own.
	Dir string
	// Kafka is the cluster to run on; nil means the embedded log.
	Kafka *kafka.Config
	// CreateTopics creates the topics of the topology that are missing on Kafka, with
	// the partitions that they declare, or else Partitions. Without it a missing one
	// is an error. Changelogs and repartition topics are created in any case.
	CreateTopics bool
	// Instance names this process among those of the application; default "0", on
	// Kafka a random id that is kept in Dir/instance. It is part of the identity of its writers, and its name in the group that shares
	// out the tasks: a process that comes back with it gets its old tasks.
	Instance string
	// Log is the log to use instead of the embedded one or Kafka. The App does not
	// close it.
	Log commitlog.Log
	// FS is the disk; default the operating system's.
	FS vfs.FS

	// Workers is the number of goroutines that process tasks; default 1.
	Workers int
	// Partitions is the number of partitions of topics that do not say; default 4.
	Partitions int32
	// CommitInterval is the time from the first uncommitted record to its commit:
	// the knob between latency and throughput. Default 100 ms.
	CommitInterval time.Duration
	// CommitBytes of uncommitted results force a commit earlier; default 64 MiB.
	CommitBytes int
	// CacheBytes bounds the cached rows of all stores of all tasks together;
	// default 256 MiB. Rows changed since the last commit are held beyond it.
	CacheBytes int
	// BufferBytes bounds the input held per partition; default 4 MiB.
	BufferBytes int
	// MaxRecordBytes bounds key plus value of a record; default 1 MiB.
	MaxRecordBytes int
	// MaxIdle is how long an input that has more records, but not at hand, may
	// hold up the other inputs of its task; default 1 s.
	MaxIdle time.Duration
	// FlushInterval is the time between flushes of the stores, which bounds what
	// is replayed after a crash; default 30 s.
	FlushInterval time.Duration
	// SessionTimeout is how long the other processes of the application wait for one
	// that is silent before they take its tasks; default 30 s. A process that stops
	// or fails leaves at once.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long they wait for each other when tasks are shared
	// out anew; default 1 min. Tasks that stay go on meanwhile.
	RebalanceTimeout time.Duration
	// GiveUp is how long an App that has lost its place, or does not know whether a
	// commit came about, starts over without getting a commit through before it ends
	// with that error; default 1 min.
	GiveUp time.Duration
	// StateInMemory keeps the stores in memory: they are rebuilt from the
	// changelog at every start.
	StateInMemory bool

	// Poison says what happens to a record that causes an error; default
	// [PoisonFail].
	Poison Poison
	// DeadLetterTopic is where [PoisonDeadLetter] sends records; default
	// "<app>-dead-letters".
	DeadLetterTopic string

	// Listen is the address of the HTTP server, for instance "127.0.0.1:8080";
	// empty means none. An address that is not a loopback one needs TLS.
	Listen string
	// TLS is the configuration of the HTTP server's TLS; nil means plain HTTP.
	TLS *tls.Config
	// TokenFile holds the token that writes need, and everything on a non-loopback
	// address; default Dir/token, made at the first start.
	TokenFile string
	// InsecureListen permits a non-loopback address without TLS.
	InsecureListen bool

	// OnCommit is called after every commit of a worker, from its goroutine; it
	// must be quick.
	OnCommit func(CommitStats)

	// Logger is where the App reports; default slog.Default().
	Logger *slog.Logger
	// Now is the wall clock; default time.Now.
	Now func() time.Time
}

// Poison says what happens to a record that causes an error: bytes that do not
// decode, a processor that fails, a panic.
type Poison = worker.Poison

const (
	// PoisonFail stops the application with an error that names the record.
	PoisonFail = worker.PoisonFail
	// PoisonSkip leaves the record out and counts it.
	PoisonSkip = worker.PoisonSkip
	// PoisonDeadLetter leaves it out and writes it to the dead-letter topic.
	PoisonDeadLetter = worker.PoisonDeadLetter
)

// CommitStats describe one commit of a worker.
type CommitStats = worker.CommitStats

// withDefaults validates the configuration and fills in defaults.
func (c Config) withDefaults(app string) (Config, error) {
	var errs *multierror.Error
	fail := func(format string, args ...any) { errs = multierror.Append(errs, fmt.Errorf(format, args...)) }
	if c.Dir == "" {
		fail("Config.Dir is empty: name the directory for the log and the state")
	}
	if c.Kafka == nil {
		setDefault(&c.Instance, "0")
	} else if c.Log != nil {
		fail("Config.Kafka and Config.Log are both set: choose one")
	}
	if c.Instance != "" {
		if err := state.CheckName(c.Instance); err != nil {
			fail("Config.Instance: %w", err)
		}
	}
	nonNegative := func(name string, v int64) {
		if v < 0 {
			fail("Config.%s is negative (%d): use 0 for the default", name, v)
		}
	}
	nonNegative("Workers", int64(c.Workers))
	nonNegative("Partitions", int64(c.Partitions))
	nonNegative("CommitInterval", int64(c.CommitInterval))
	nonNegative("CommitBytes", int64(c.CommitBytes))
	nonNegative("CacheBytes", int64(c.CacheBytes))
	nonNegative("BufferBytes", int64(c.BufferBytes))
	nonNegative("MaxRecordBytes", int64(c.MaxRecordBytes))
	nonNegative("MaxIdle", int64(c.MaxIdle))
	nonNegative("FlushInterval", int64(c.FlushInterval))
	nonNegative("SessionTimeout", int64(c.SessionTimeout))
	nonNegative("RebalanceTimeout", int64(c.RebalanceTimeout))
	nonNegative("GiveUp", int64(c.GiveUp))
	if c.Kafka != nil && c.SessionTimeout > 0 && c.Kafka.TransactionTimeout >= c.SessionTimeout {
		fail("Config.Kafka.TransactionTimeout (%v) is not below Config.SessionTimeout (%v): a dead worker's transaction would outlive its place "+
			"in the group", c.Kafka.TransactionTimeout, c.SessionTimeout)
	}
	if c.Poison > PoisonDeadLetter {
		fail("Config.Poison is %d: use PoisonFail, PoisonSkip or PoisonDeadLetter", c.Poison)
	}
	setDefault(&c.FS, vfs.Default)
	setDefault(&c.Workers, 1)
	setDefault(&c.Partitions, 4)
	setDefault(&c.CommitInterval, 100*time.Millisecond)
	setDefault(&c.CommitBytes, 64<<20)
	setDefault(&c.CacheBytes, 256<<20)
	setDefault(&c.BufferBytes, 4<<20)
	setDefault(&c.MaxRecordBytes, 1<<20)
	setDefault(&c.MaxIdle, time.Second)
	setDefault(&c.FlushInterval, 30*time.Second)
	setDefault(&c.SessionTimeout, commitlog.DefaultSessionTimeout)
	setDefault(&c.RebalanceTimeout, commitlog.DefaultRebalanceTimeout)
	setDefault(&c.GiveUp, time.Minute)
	setDefault(&c.DeadLetterTopic, app+"-dead-letters")
	setDefault(&c.TokenFile, filepath.Join(c.Dir, "token"))
	setDefault(&c.Logger, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, errs.ErrorOrNil()
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// ErrNotRunning is returned by what needs a running App.
var ErrNotRunning = errors.New("the application is not running")
