package embedded

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// cpuTime is what the process has used, in all threads.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const (
	recordsPerBatch  = 1000
	batchesPerCommit = 40
)

func fill(b *recordbatch.Builder, key, value []byte) {
	b.Reset()
	for i := range recordsPerBatch {
		key[0], key[1] = byte(i), byte(i>>8)
		b.Append(int64(i), key, value, nil)
	}
}

// BenchmarkAppend builds, commits and syncs transactions of 40,000 records of
// 20 + 48 bytes, about 3 MB, on the disk of the temporary directory.
func BenchmarkAppend(b *testing.B) {
	l := mustOpen(b, Options{Dir: b.TempDir()})
	defer l.Close()
	w := benchWriter(b, l)
	builders := make([]*recordbatch.Builder, batchesPerCommit)
	for i := range builders {
		builders[i] = &recordbatch.Builder{}
	}
	key, value := make([]byte, 20), make([]byte, 48)
	records, start, before := 0, time.Now(), cpuTime(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Begin(); err != nil {
			b.Fatal(err)
		}
		for i, builder := range builders {
			fill(builder, key, value)
			if err := w.Append(tp("bench", int32(i%4)), builder); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Commit(ctx); err != nil {
			b.Fatal(err)
		}
		records += recordsPerBatch * batchesPerCommit
	}
	report(b, records, time.Since(start), cpuTime(b)-before)
	s := l.Stats()
	b.ReportMetric(float64(s.JournalBytes+s.SegmentBytes)/float64(records), "disk-B/record")
	b.Logf("%+v", s)
}

// BenchmarkCommitSmall is the latency of one small durable commit.
func BenchmarkCommitSmall(b *testing.B) {
	l := mustOpen(b, Options{Dir: b.TempDir()})
	defer l.Close()
	w := benchWriter(b, l)
	builder := &recordbatch.Builder{}
	b.ReportAllocs()
	for b.Loop() {
		builder.Reset()
		builder.Append(0, []byte("key"), []byte("value"), nil)
		if err := w.Begin(); err != nil {
			b.Fatal(err)
		}
		if err := w.Append(tp("bench", 0), builder); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Commit(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFetch polls and iterates over records, from memory and from segments.
func BenchmarkFetch(b *testing.B) {
	for name, tail := range map[string]int64{"memory": 64 << 20, "segments": 1 << 10} {
		b.Run(name, func(b *testing.B) {
			l := mustOpen(b, Options{Dir: b.TempDir(), TailBytes: tail})
			defer l.Close()
			w := benchWriter(b, l)
			builder := &recordbatch.Builder{}
			for range 200 {
				fill(builder, make([]byte, 20), make([]byte, 48))
				if err := w.Begin(); err != nil {
					b.Fatal(err)
				}
				if err := w.Append(tp("bench", 0), builder); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Commit(ctx); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.flush(); err != nil {
				b.Fatal(err)
			}
			r, err := l.NewReader(commitlog.ReaderOptions{})
			if err != nil {
				b.Fatal(err)
			}
			records, start, before := 0, time.Now(), cpuTime(b)
			b.ReportAllocs()
			for b.Loop() {
				records += pollAll(b, r)
			}
			report(b, records, time.Since(start), cpuTime(b)-before)
		})
	}
}

func pollAll(b *testing.B, r commitlog.Reader) (records int) {
	if err := r.Assign(tp("bench", 0), 0); err != nil {
		b.Fatal(err)
	}
	for {
		fetched, err := r.Poll(ctx)
		if err != nil {
			b.Fatal(err)
		}
		for _, batch := range fetched[0].Batches {
			it := batch.Records()
			for it.Next() {
				records++
			}
			if err := it.Err(); err != nil {
				b.Fatal(err)
			}
		}
		if fetched[0].Next == fetched[0].StableEnd {
			return records
		}
	}
}

func benchWriter(b *testing.B, l *Log) commitlog.Writer {
	if err := l.CreateTopic(ctx, commitlog.TopicConfig{Name: "bench", Partitions: 4}); err != nil {
		b.Fatal(err)
	}
	w, err := l.OpenWriter(ctx, fmt.Sprint("writer of ", b.Name()))
	if err != nil {
		b.Fatal(err)
	}
	return w
}

func report(b *testing.B, records int, wall, cpu time.Duration) {
	b.ReportMetric(float64(records)/wall.Seconds()/1e6, "Mrecords/s")
	b.ReportMetric(float64(records)/cpu.Seconds()/1e6, "Mrecords/CPUs")
}
