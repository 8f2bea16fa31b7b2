package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

var a0 = commitlog.TopicPartition{Topic: "a"}

func newReader(t testing.TB, l *Log, opts commitlog.ReaderOptions, from int64, tps ...commitlog.TopicPartition) commitlog.Reader {
	t.Helper()
	r, err := l.NewReader(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, tp := range tps {
		if err := r.Assign(tp, from); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// write commits records, whose values are their numbers from first on.
func write(t testing.TB, l *Log, tp commitlog.TopicPartition, first, n int) {
	t.Helper()
	w, err := l.OpenWriter(context.Background(), fmt.Sprint("writer of ", tp))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := first; i < first+n; i++ {
		b := &recordbatch.Builder{}
		b.Append(int64(i), []byte("k"), []byte(fmt.Sprint(i)), nil)
		err := errors.Join(w.Begin(), w.Append(tp, b))
		if err == nil {
			_, err = w.Commit(context.Background())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestReaderOverCraftedLogs reads what a real cleaner leaves behind, from every
// offset, through the whole reader; and looks every offset up.
func TestReaderOverCraftedLogs(t *testing.T) {
	for seed := range uint64(4) {
		log := randomLog(rand.New(rand.NewPCG(seed, 3)))
		// Both at the very end: a batch that compaction emptied, then a marker.
		log.add(crafted{base: log.end, lastDelta: 5, producer: 3})
		log.add(marker(log.end, 'C', 3))
		l := openLog(t, quiet(cannedCluster(t, log, seed).ListenAddrs()...))
		r := newReader(t, l, commitlog.ReaderOptions{MaxWait: 5 * time.Second}, 0)
		for from := range log.end + 1 {
			if err := readCrafted(t.Context(), r, log, from); err != nil {
				t.Fatalf("seed %d, from %d: %v", seed, from, err)
			}
		}
		lookUpCrafted(t, l, log)
	}
}

func readCrafted(ctx context.Context, r commitlog.Reader, log modelLog, from int64) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := r.Assign(a0, from); err != nil {
		return err
	}
	var got []int64
	for position := from; position < log.end; {
		fetched, err := r.Poll(ctx)
		if err != nil {
			return fmt.Errorf("at %d of %d: %w", position, log.end, err)
		}
		for _, f := range fetched {
			offsets, err := offsetsIn(f.Batches, from)
			if err != nil {
				return err
			}
			if f.StableEnd != log.end || f.Next < position {
				return fmt.Errorf("%+v after position %d", f, position)
			}
			got, position = append(got, offsets...), f.Next
		}
	}
	if want := slices.DeleteFunc(slices.Clone(log.committed), func(o int64) bool { return o < from }); !slices.Equal(got, want) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

func lookUpCrafted(t *testing.T, l *Log, log modelLog) {
	t.Helper()
	var ids []commitlog.RecordID
	for offset := range log.end + 3 {
		ids = append(ids, commitlog.RecordID{TopicPartition: a0, Offset: offset})
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	records, err := l.ReadAt(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		offset := ids[i].Offset
		committed := slices.Contains(log.committed, offset)
		if r.Found != committed || committed && (r.Offset != offset || binary.BigEndian.Uint64(r.Value) != uint64(offset)) {
			t.Errorf("offset %d, committed %v: %+v", offset, committed, r)
		}
	}
	newest, ok, err := l.Latest(t.Context(), a0, []byte("k"))
	if n := len(log.committed); err != nil || !ok || newest.Offset != log.committed[n-1] {
		t.Errorf("latest is %+v, %v, %v, want offset %d", newest, ok, err, log.committed[n-1])
	}
}

// TestReaderDamaged: what lies before the damage is delivered, the error names the
// place, and the reader goes on behind it.
func TestReaderDamaged(t *testing.T) {
	var log modelLog
	log.add(plainBatch(0, 2))
	unknown := plainBatch(2, 2)
	unknown.attributes = 7
	log.add(unknown)
	log.add(plainBatch(4, 1))
	l := openLog(t, quiet(cannedCluster(t, log, 1).ListenAddrs()...))
	r := newReader(t, l, commitlog.ReaderOptions{MaxWait: 5 * time.Second}, 0, a0)
	var got []int64
	var failure error
	for failure == nil {
		fetched, err := r.Poll(t.Context())
		for _, f := range fetched {
			offsets, _ := offsetsIn(f.Batches, 0)
			got = append(got, offsets...)
		}
		failure = err
	}
	if !slices.Equal(got, []int64{0, 1}) || !errors.Is(failure, commitlog.ErrCorrupt) {
		t.Errorf("got %v, then %v", got, failure)
	}
	for _, part := range []string{"a-0", "offset 2", "codec 7"} {
		if !strings.Contains(failure.Error(), part) {
			t.Errorf("the error does not name %q: %v", part, failure)
		}
	}
	if err := r.Assign(a0, 4); err != nil {
		t.Fatal(err)
	}
	for next := int64(4); next < 5; {
		fetched, err := r.Poll(t.Context())
		if err != nil {
			t.Fatalf("behind the damage: %v", err)
		}
		for _, f := range fetched {
			next = f.Next
		}
	}
}

// TestReaderFollowsLeaders moves the partition about while it is read.
func TestReaderFollowsLeaders(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "a"))
	l := openLog(t, quiet(cluster.ListenAddrs()...))
	r := newReader(t, l, commitlog.ReaderOptions{MaxWait: time.Second}, 0, a0)
	next := 0
	for round := range 6 {
		write(t, l, a0, 5*round, 5)
		for next < 5*(round+1) {
			fetched, err := r.Poll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fetched {
				for _, b := range f.Batches {
					it := b.Records()
					for it.Next() {
						if string(it.Value) != fmt.Sprint(next) {
							t.Fatalf("got %s, want %d", it.Value, next)
						}
						next++
					}
				}
			}
		}
		if err := cluster.MoveTopicPartition("a", 0, (cluster.LeaderFor("a", 0)+1)%3); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReaderServesAll: with limits far below the backlog, no partition waits for
// another's to be read.
func TestReaderServesAll(t *testing.T) {
	cluster := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(4, "a"))
	l := openLog(t, quiet(cluster.ListenAddrs()...))
	var tps []commitlog.TopicPartition
	for p := range int32(4) {
		tps = append(tps, commitlog.TopicPartition{Topic: "a", Partition: p})
		write(t, l, tps[p], 0, 300)
	}
	r := newReader(t, l, commitlog.ReaderOptions{MaxBytes: 1000, MaxPartitionBytes: 400, MaxWait: time.Second}, 0, tps...)
	counts := make([]int, 4)
	for slices.Max(counts) < 290 {
		fetched, err := r.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fetched {
			counts[f.Partition] += len(f.Batches)
		}
	}
	if slices.Min(counts) < 100 {
		t.Errorf("records read of each partition: %v", counts)
	}
}

func TestReaderRecreatedTopic(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "a"))
	l := openLog(t, quiet(cluster.ListenAddrs()...))
	write(t, l, a0, 0, 3)
	r := newReader(t, l, commitlog.ReaderOptions{MaxWait: 100 * time.Millisecond}, 0, a0)
	if _, err := r.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cluster.DeleteTopic("a"), cluster.CreateTopic("a", 1, nil)); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 100 {
		if _, err = r.Poll(t.Context()); err != nil {
			break
		}
	}
	if !errors.Is(err, commitlog.ErrUnknownTopic) || !strings.Contains(err.Error(), "created anew") {
		t.Errorf("reading a topic that was replaced gave %v", err)
	}
}

func TestReaderGivesUp(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "a"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := quiet(cluster.ListenAddrs()...)
	cfg.GiveUp = 300 * time.Millisecond
	l := openLog(t, cfg)
	r := newReader(t, l, commitlog.ReaderOptions{MaxWait: 100 * time.Millisecond}, 0, a0)
	if _, err := r.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	cluster.Close()
	for started := time.Now(); err == nil && time.Since(started) < 20*time.Second; {
		_, err = r.Poll(t.Context())
	}
	if !errors.Is(err, commitlog.ErrUnreachable) {
		t.Errorf("without a broker: %v", err)
	}
}

func TestReaderDenied(t *testing.T) {
	cluster := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "a"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "admin", "secret"), kfake.User("PLAIN", "guest", "guest",
			kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "a", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true}))
	cfg := quiet(cluster.ListenAddrs()...)
	cfg.SASL = SASL{Mechanism: "PLAIN", Username: "guest", Password: "guest"}
	l := openLog(t, cfg)
	r := newReader(t, l, commitlog.ReaderOptions{MaxWait: 5 * time.Second}, 0, a0)
	if _, err := r.Poll(t.Context()); !errors.Is(err, commitlog.ErrDenied) || !strings.Contains(err.Error(), "READ on topic a") {
		t.Errorf("a reader without permission: %v", err)
	}
	if err := l.CreateTopic(t.Context(), commitlog.TopicConfig{Name: "b", Partitions: 1}); !errors.Is(err, commitlog.ErrDenied) || !strings.Contains(err.Error(), "topic b") {
		t.Errorf("a topic without permission: %v", err)
	}
	// The emulator ends the connection; Kafka says why, which then fails at once.
	cfg.SASL.Password, cfg.GiveUp = "hunter2", 100*time.Millisecond
	if _, err := Open(t.Context(), cfg); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a wrong password gave %v", err)
	}
}

// TestForeignBatches reads what another client has compressed, in every codec.
func TestForeignBatches(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(1, "a"))
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	for i, codec := range codecs {
		foreign, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ProducerBatchCompression(codec))
		if err != nil {
			t.Fatal(err)
		}
		for j := range 50 {
			foreign.Produce(t.Context(), &kgo.Record{Topic: "a", Value: fmt.Appendf(nil, "%d.%d %s", i, j, strings.Repeat("x", 100))}, nil)
		}
		if err := foreign.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		foreign.Close()
	}
	l := openLog(t, quiet(cluster.ListenAddrs()...))
	r := newReader(t, l, commitlog.ReaderOptions{MaxWait: time.Second}, 0, a0)
	seen := map[recordbatch.Codec]int{}
	for n := 0; n < 50*len(codecs); {
		fetched, err := r.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fetched {
			for _, b := range f.Batches {
				it := b.Records()
				for it.Next() {
					if want := fmt.Sprintf("%d.%d ", n/50, n%50); !strings.HasPrefix(string(it.Value), want) {
						t.Fatalf("record %d is %.20q", n, it.Value)
					}
					n++
					seen[b.Codec()]++
				}
				if it.Err() != nil {
					t.Fatal(it.Err())
				}
			}
		}
	}
	if len(seen) != len(codecs) {
		t.Errorf("records by codec: %v", seen)
	}
}

// TestReaderLeavesNothing: a closed log has no goroutines left, and its readers
// say that they are closed.
func TestReaderLeavesNothing(t *testing.T) {
	cluster := fakeCluster(t, kfake.SeedTopics(3, "a"))
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	l, err := Open(t.Context(), quiet(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.NewReader(commitlog.ReaderOptions{MaxWait: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(3) {
		if err := r.Assign(commitlog.TopicPartition{Topic: "a", Partition: p}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	polled := make(chan error, 1)
	go func() { _, err := r.Poll(context.Background()); polled <- err }()
	time.Sleep(50 * time.Millisecond)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-polled; !errors.Is(err, commitlog.ErrClosed) {
		t.Errorf("a Poll under Close gave %v", err)
	}
	if _, err := l.NewReader(commitlog.ReaderOptions{}); !errors.Is(err, commitlog.ErrClosed) {
		t.Errorf("a reader of a closed log: %v", err)
	}
}
