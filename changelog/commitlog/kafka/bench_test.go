package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// BenchmarkDecode is what a lane does with a reply of 1 MiB, and the consumer with
// its records: keys of 20 and values of 48 bytes, 1000 a batch.
func BenchmarkDecode(b *testing.B) {
	var raw []byte
	n := int64(0)
	for len(raw) < 1<<20 {
		batch := benchBatch()
		next, err := recordbatch.Rebase(batch, n)
		if err != nil {
			b.Fatal(err)
		}
		n, raw = next, append(raw, batch...)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	records := int64(0)
	for b.Loop() {
		d := decode(a0, raw, 0, nil)
		if d.err != nil || d.next != n {
			b.Fatal(d.err)
		}
		for _, batch := range d.batches {
			it := batch.Records()
			for it.Next() {
				records++
			}
		}
	}
	b.ReportMetric(float64(records)/1e6/b.Elapsed().Seconds(), "Mrec/s")
}

// benchBatch has 1000 records of 20 + 48 bytes.
func benchBatch() []byte {
	var builder recordbatch.Builder
	for range 1000 {
		builder.Append(1, make([]byte, 20), make([]byte, 48), nil)
	}
	return builder.Seal(recordbatch.NoProducer, false)
}

// BenchmarkReader reads canned batches through connections, lanes and Poll. The
// emulator that serves them runs in the same process and has its share of the time.
func BenchmarkReader(b *testing.B) {
	cluster := fakeCluster(b, kfake.NumBrokers(1), kfake.SeedTopics(4, "a"),
		kfake.SyntheticFetch(kfake.SyntheticBatch{Batch: benchBatch()}))
	l := openLog(b, quiet(cluster.ListenAddrs()...))
	var tps []commitlog.TopicPartition
	for p := range int32(4) {
		tps = append(tps, commitlog.TopicPartition{Topic: "a", Partition: p})
	}
	r := newReader(b, l, commitlog.ReaderOptions{MaxWait: time.Second}, 0, tps...)
	b.ReportAllocs()
	records := int64(0)
	for b.Loop() {
		fetched, err := r.Poll(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, f := range fetched {
			for _, batch := range f.Batches {
				it := batch.Records()
				for it.Next() {
					records++
				}
			}
		}
	}
	b.ReportMetric(float64(records)/1e6/b.Elapsed().Seconds(), "Mrec/s")
	b.ReportMetric(float64(records)/float64(b.N), "records/op")
}
