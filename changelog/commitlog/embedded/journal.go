package embedded

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

// position is a place in the journals: the end of an entry. Offset 0 means that
// nothing of that journal counts yet, not even that it exists.
type position struct {
	journal uint64
	offset  int64
}

func (p position) before(q position) bool {
	return p.journal < q.journal || p.journal == q.journal && p.offset < q.offset
}

// journal is the file being written. Its methods but advanceSynced need the
// order lock.
type journal struct {
	number uint64
	w      *record.LogWriter
	// room bounds the syncs under way; the writer takes one out for each.
	room chan struct{}
	// synced is the length known to be on disk; it goes into every entry.
	synced atomic.Int64
	closed bool
}

func journalName(number uint64) string { return fmt.Sprintf("journal-%016d.log", number) }

func parseJournalName(name string) (number uint64, ok bool) {
	digits, isJournal := strings.CutPrefix(name, "journal-")
	digits, isLog := strings.CutSuffix(digits, ".log")
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, isJournal && isLog && err == nil
}

// createJournal begins a journal. When it returns, the file, its name and its
// header are on disk, so that whatever is found behind a bad header is proof
// that the header was good once.
func createJournal(o *Options, h journalHeader, c *counters) (*journal, error) {
	path := o.FS.PathJoin(o.Dir, journalName(h.journal))
	file, err := o.FS.Create(path, writeCategory)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	if err := syncDir(o.FS, o.Dir); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	j := &journal{number: h.journal, room: make(chan struct{}, record.SyncConcurrency)}
	j.w = newLogWriter(record.NewLogWriter, &journalFile{File: file, counters: c}, h.journal, record.LogWriterConfig{
		QueueSemChan:        j.room,
		WriteWALSyncOffsets: func() bool { return true },
		// The writer keeps its own sync offsets only if somebody measures.
		WALFsyncLatency: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "journal_fsync_seconds"}),
	})
	if err := j.appendAndWait(encodeHeader(h)); err != nil {
		return nil, errors.Join(fmt.Errorf("write the header of %s: %w", path, err), j.close())
	}
	return j, nil
}

// append writes an entry. wg is done once the entry and all before it are on
// disk, or *syncErr says why not; without an error from append it always is.
func (j *journal) append(encoded []byte, wg *sync.WaitGroup, syncErr *error) (end int64, err error) {
	stampSynced(encoded, j.synced.Load())
	j.room <- struct{}{}
	wg.Add(1)
	end, err = j.w.SyncRecord(encoded, wg, syncErr)
	if err != nil {
		wg.Done()
		<-j.room
		return 0, err
	}
	return end, nil
}

// close syncs what is left, ends the journal with a trailer and closes the file,
// once: a second sync of a file whose sync failed would prove nothing.
func (j *journal) close() error {
	if j.closed {
		return nil
	}
	j.closed = true
	return j.w.Close()
}

func (j *journal) appendAndWait(encoded []byte) error {
	var (
		wg      sync.WaitGroup
		syncErr error
	)
	end, err := j.append(encoded, &wg, &syncErr)
	if err != nil {
		return err
	}
	wg.Wait()
	if syncErr == nil {
		j.advanceSynced(end)
	}
	return syncErr
}

func (j *journal) advanceSynced(end int64) {
	for {
		old := j.synced.Load()
		if old >= end || j.synced.CompareAndSwap(old, end) {
			return
		}
	}
}

// size is where the next entry goes.
func (j *journal) size() int64 { return j.w.Size() }

// journalFile counts, and syncs data without the times of the file.
type journalFile struct {
	vfs.File
	counters *counters
}

func (f *journalFile) Write(p []byte) (int, error) {
	f.counters.journalBytes.Add(int64(len(p)))
	return f.File.Write(p)
}

func (f *journalFile) Sync() error {
	f.counters.journalSyncs.Add(1)
	return f.File.SyncData()
}

// newLogWriter and newRecordReader convert to the record package's file number,
// whose type cannot be named from outside but can be inferred.
func newLogWriter[N ~uint64](open func(io.Writer, N, record.LogWriterConfig) *record.LogWriter,
	w io.Writer, number uint64, cfg record.LogWriterConfig) *record.LogWriter {
	return open(w, N(number), cfg)
}

func newRecordReader[N ~uint64](open func(io.Reader, N) *record.Reader, r io.Reader, number uint64) *record.Reader {
	return open(r, N(number))
}
