package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

var ctx = context.Background()

func tp(topic string, partition int32) commitlog.TopicPartition {
	return commitlog.TopicPartition{Topic: topic, Partition: partition}
}

// small are options under which a few kilobytes pass through everything: part
// entries, rotation, several segments, eviction from memory.
func small(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "log", JournalBytes: 8 << 10, SegmentBytes: 4 << 10, TailBytes: 4 << 10, PartBytes: 2 << 10}
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func batchOf(values ...string) *recordbatch.Builder {
	b := &recordbatch.Builder{}
	for i, v := range values {
		b.Append(int64(i), []byte("key-"+v), []byte(v), nil)
	}
	return b
}

// readAll returns the values of a partition from offset on.
func readAll(l *Log, at commitlog.TopicPartition, offset int64) ([]string, error) {
	r, err := l.NewReader(commitlog.ReaderOptions{MaxWait: 1})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := r.Assign(at, offset); err != nil {
		return nil, err
	}
	var values []string
	for {
		fetched, err := r.Poll(ctx)
		if err != nil {
			return values, err
		}
		for _, b := range fetched[0].Batches {
			if err := b.Verify(); err != nil {
				return values, err
			}
			it := b.Records()
			for it.Next() {
				if it.Offset != offset {
					return values, fmt.Errorf("%s: offset %d where %d is next", at, it.Offset, offset)
				}
				offset++
				values = append(values, string(it.Value))
			}
			if err := it.Err(); err != nil {
				return values, err
			}
		}
		if fetched[0].Next == fetched[0].StableEnd {
			return values, nil
		}
	}
}

func TestEverythingIsThereAfterClosingAndAfterACrash(t *testing.T) {
	for _, crash := range []bool{false, true} {
		fs := vfs.NewCrashableMem()
		l := mustOpen(t, small(fs))
		if err := l.CreateTopic(ctx, commitlog.TopicConfig{Name: "a", Partitions: 2}); err != nil {
			t.Fatal(err)
		}
		var want []string
		for round := range 5 {
			w, err := l.OpenWriter(ctx, "w")
			if err != nil {
				t.Fatal(err)
			}
			for i := range 40 {
				value := fmt.Sprintf("%d-%d-%s", round, i, strings.Repeat("x", i*10))
				if err := w.Begin(); err != nil {
					t.Fatal(err)
				}
				for range 1 + i%7 {
					if err := w.Append(tp("a", 0), batchOf(value)); err != nil {
						t.Fatal(err)
					}
					want = append(want, value)
				}
				if _, err := w.Commit(ctx); err != nil {
					t.Fatal(err)
				}
			}
			got, err := readAll(l, tp("a", 0), 0)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("crash %v round %d: %d of %d values, %v", crash, round, len(got), len(want), err)
			}
			if crash {
				clone := fs.CrashClone(vfs.CrashCloneCfg{})
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				fs = clone
			} else if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = mustOpen(t, small(fs))
			got, err = readAll(l, tp("a", 0), 0)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("crash %v round %d, reopened: %d of %d values, %v", crash, round, len(got), len(want), err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRealDisk(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "process ") {
		t.Fatalf("a second opening must name the holder: %v", err)
	}
	if err := l.CreateTopic(ctx, commitlog.TopicConfig{Name: "a", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	w, err := l.OpenWriter(ctx, "w")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Begin(), w.Append(tp("a", 0), batchOf("1", "2"))); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, Options{Dir: dir, TailBytes: 1})
	defer l.Close()
	if got, err := readAll(l, tp("a", 0), 0); err != nil || fmt.Sprint(got) != "[1 2]" {
		t.Fatal(got, err)
	}
}

func TestIDStaysWithTheDirectory(t *testing.T) {
	fs := vfs.NewMem()
	ids := map[string]bool{}
	for range 3 {
		l, err := Open(Options{FS: fs, Dir: "log"})
		if err != nil {
			t.Fatal(err)
		}
		ids[l.ID()] = true
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	other, err := Open(Options{FS: fs, Dir: "other"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if len(ids) != 1 || ids[""] || ids[other.ID()] {
		t.Fatalf("ids %v, another log has %q", ids, other.ID())
	}
}
