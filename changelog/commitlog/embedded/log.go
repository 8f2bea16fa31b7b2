package embedded

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/record"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/group"
)

var _ commitlog.Log = (*Log)(nil)

// Log is the embedded log. Locks are taken in this order: admin, flushing, order,
// mu. Only flushing and order are held over disk access.
type Log struct {
	id       string // made with the directory
	opts     Options
	counters counters
	lock     io.Closer
	groups   *group.Coordinator // its lock is taken under order, and nothing under it

	// admin makes one topic or writer change at a time wait for the disk, so that
	// each sees the outcome of the one before.
	admin sync.Mutex

	// flushing is held by whoever writes segments or removes files.
	flushing sync.Mutex

	// order decides the order of entries in the journal, and so of offsets.
	order struct {
		sync.Mutex
		journal *journal
		// keepFrom is the oldest journal that a recovery will read.
		keepFrom uint64
		// older are the lengths of the journals before that are still there.
		older map[uint64]int64
		// pinned are transactions that write their parts anew in order to commit:
		// journals are kept from there on.
		pinned map[*transaction]struct{}
		txns   uint64
		live   map[string]*Writer // newest writer of each identity
		last   <-chan struct{}    // closed when all in the journal is visible; nil before the first
		closed error
	}

	// mu guards what is visible.
	mu struct {
		sync.Mutex
		state *state
		// changed is closed and replaced when something became visible, and
		// progress when segments or journals made room.
		changed  chan struct{}
		progress chan struct{}
		failed   error // the first failed write: nothing is written after it
		closed   bool
	}

	inflight   chan *submission // in journal order, to the publisher
	work       chan struct{}    // wakes the maintainer
	stop       chan struct{}
	published  chan struct{} // closed when the publisher has ended
	maintained chan struct{}
}

// Open opens the log in opts.Dir, creating it if need be, and recovers what an
// unclean end left. It fails if the directory is in use, if its format is newer,
// and, wrapping ErrCorrupt, if something that was on disk is damaged.
func Open(opts Options) (*Log, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	if err := makeDir(opts.FS, opts.Dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(&opts)
	if err != nil {
		return nil, err
	}
	l := &Log{
		opts: opts, lock: lock, groups: group.New(group.Config{}),
		inflight: make(chan *submission, record.SyncConcurrency),
		work:     make(chan struct{}, 1),
		stop:     make(chan struct{}), published: make(chan struct{}), maintained: make(chan struct{}),
	}
	l.order.live = map[string]*Writer{}
	l.order.older, l.order.pinned = map[uint64]int64{}, map[*transaction]struct{}{}
	l.mu.changed, l.mu.progress = make(chan struct{}), make(chan struct{})
	if err := l.recover(); err != nil {
		err = fmt.Errorf("open log %s: %w", opts.Dir, err)
		if j := l.order.journal; j != nil {
			err = errors.Join(err, j.close())
		}
		return nil, errors.Join(err, l.closeFiles(), lock.Close())
	}
	go l.publish()
	go l.maintain()
	return l, nil
}

// ID is the id that the log got with its directory.
func (l *Log) ID() string { return l.id }

// Close waits for what is in the journal, syncs the segments and writes the
// recovery point, so that the next Open has nothing to replay. Members of groups
// end first. It returns the failure that made the log read-only, if there was one.
func (l *Log) Close() error {
	l.order.Lock()
	if l.order.closed != nil {
		l.order.Unlock()
		return nil
	}
	l.order.closed = commitlog.ErrClosed
	l.groups.Close()
	err := l.order.journal.close()
	l.order.Unlock()

	close(l.inflight)
	<-l.published
	close(l.stop)
	<-l.maintained

	l.mu.Lock()
	l.mu.closed = true
	l.announceLocked()
	failed := l.mu.failed
	l.mu.Unlock()
	if err == nil && failed == nil {
		next := position{journal: l.order.journal.number + 1}
		err = l.checkpoint(next.journal, &next)
	}
	err = errors.Join(failed, err, l.closeFiles(), l.lock.Close())
	return wrapf(err, "close log %s", l.opts.Dir)
}

// closeFiles closes the segments that are open for writing.
func (l *Log) closeFiles() error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	var errs []error
	if l.mu.state == nil {
		return nil
	}
	for _, t := range l.mu.state.topics {
		for _, p := range t.partitions {
			for _, s := range p.segments {
				errs = append(errs, s.close())
			}
		}
	}
	return errors.Join(errs...)
}

// fail makes the log read-only for good: after a failed write or sync the kernel
// may call pages clean that never reached the disk, so trying again proves
// nothing. The first cause is kept.
func (l *Log) fail(cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.failed == nil {
		l.mu.failed = fmt.Errorf("%w: %w; check the disk of %s and restart", commitlog.ErrReadOnly, cause, l.opts.Dir)
		l.opts.Logger.Error("embedded log is read-only", "dir", l.opts.Dir, "cause", cause)
		l.announceLocked()
		l.progressLocked()
	}
	return l.mu.failed
}

// usableLocked reports why nothing can be written, if so.
func (l *Log) usableLocked() error {
	if l.mu.closed {
		return commitlog.ErrClosed
	}
	return l.mu.failed
}

func (l *Log) announceLocked() {
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
}

func (l *Log) progressLocked() {
	close(l.mu.progress)
	l.mu.progress = make(chan struct{})
}

// wake has the maintainer look whether there is something to do.
func (l *Log) wake() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}
