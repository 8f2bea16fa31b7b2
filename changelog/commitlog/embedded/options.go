package embedded

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options configure a Log. Only Dir is mandatory.
type Options struct {
	// FS is the disk; nil means the operating system's.
	FS vfs.FS
	// Dir is the directory of the log, created if missing. One process at a time.
	Dir string
	// JournalBytes is the journal length at which segments are synced and a new
	// journal begins; 0 means 64 MiB. Recovery reads about that much.
	JournalBytes int64
	// SegmentBytes is the length at which a segment is sealed, for topics that do
	// not say; 0 means 64 MiB.
	SegmentBytes int64
	// TailBytes bounds the recent batches kept in memory over all partitions;
	// 0 means 64 MiB.
	TailBytes int64
	// MaxRecordBytes bounds an encoded batch and so a record; 0 means 16 MiB.
	MaxRecordBytes int
	// MaxTransactionBytes bounds what one transaction appends; 0 means 256 MiB.
	MaxTransactionBytes int64
	// PartBytes is how much a transaction collects before it goes to the journal
	// ahead of its commit; 0 means 4 MiB.
	PartBytes int
	// Now is the clock for the holder file; nil means time.Now.
	Now func() time.Time
	// NewID makes the id of a new log; nil means 128 random bits.
	NewID func() string
	// Logger gets recoveries and background failures; nil means slog.Default().
	Logger *slog.Logger
}

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		return errors.New("embedded log: Options.Dir is empty; name the directory of the log")
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = rand.Text
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	defaultTo(&o.JournalBytes, 64<<20)
	defaultTo(&o.SegmentBytes, 64<<20)
	defaultTo(&o.TailBytes, 64<<20)
	defaultTo(&o.MaxRecordBytes, 16<<20)
	defaultTo(&o.MaxTransactionBytes, 256<<20)
	defaultTo(&o.PartBytes, 4<<20)
	return nil
}

func defaultTo[N int | int64](v *N, def N) {
	if *v <= 0 {
		*v = def
	}
}

// flushBytes is how much may wait for its segments before they are written, and
// maxBacklog how much before commits wait for that.
func (o *Options) flushBytes() int64 { return max(min(o.TailBytes, o.JournalBytes)/8, 1) }
func (o *Options) maxBacklog() int64 { return max(o.TailBytes/2, 1) }

// maxJournal is how long all journals together may grow before commits wait for
// a checkpoint.
func (o *Options) maxJournal() int64 { return 4 * o.JournalBytes }
