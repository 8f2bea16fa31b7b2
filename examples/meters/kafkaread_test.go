package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// committed reads a whole topic with another client, read_committed, partition by
// partition. What is hidden behind an open transaction is waited for.
func committed(ctx context.Context, addr, topic string) (all [][]*kgo.Record, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := endsOf(ctx, client, topic)
	if err != nil {
		return nil, err
	}
	from := map[int32]kgo.Offset{}
	for p := range ends {
		from[int32(p)] = kgo.NewOffset().AtStart()
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	all = make([][]*kgo.Record, len(ends))
	next := make([]int64, len(ends))
	for {
		if !slices.ContainsFunc(slices.Collect(seq(len(ends))), func(p int) bool { return next[p] < ends[p] }) {
			return all, nil
		}
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w; at %v of %v", topic, err, next, ends)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				all[r.Partition] = append(all[r.Partition], r)
			}
		})
	}
}

func seq(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// endsOf are the ends of the partitions, open transactions included.
func endsOf(ctx context.Context, client *kgo.Client, topic string) ([]int64, error) {
	ask := kmsg.NewPtrMetadataRequest()
	name := kmsg.NewMetadataRequestTopic()
	name.Topic = kmsg.StringPtr(topic)
	ask.Topics = append(ask.Topics, name)
	metadata, err := ask.RequestWith(ctx, client)
	if err != nil || len(metadata.Topics) != 1 || metadata.Topics[0].ErrorCode != 0 {
		return nil, fmt.Errorf("metadata of %s: %v, %+v", topic, err, metadata)
	}
	list := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range metadata.Topics[0].Partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = int32(p), -1
		t.Partitions = append(t.Partitions, partition)
	}
	list.Topics = append(list.Topics, t)
	resp, err := list.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	ends := make([]int64, len(t.Partitions))
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return nil, fmt.Errorf("end of %s-%d: error %d", topic, p.Partition, p.ErrorCode)
			}
			ends[p.Partition] = p.Offset
		}
	}
	return ends, nil
}

// hourlyRows decodes results by what Kafka Streams says about their form: key and
// start of the window, and an IEEE 754 number, both in network order.
func hourlyRows(partitions [][]*kgo.Record) (rows []output, err error) {
	for _, records := range partitions {
		for _, r := range records {
			n := len(r.Key) - 8
			if n < 1 || len(r.Value) != 8 {
				return nil, fmt.Errorf("%s-%d, offset %d: key %x, value %x", r.Topic, r.Partition, r.Offset, r.Key, r.Value)
			}
			id := windowID{string(r.Key[:n]), int64(binary.BigEndian.Uint64(r.Key[n:]))}
			rows = append(rows, output{id, math.Float64frombits(binary.BigEndian.Uint64(r.Value))})
		}
	}
	return rows, nil
}

// judgeKafka compares the hourly results on a cluster with the offline result.
func judgeKafka(ctx context.Context, addr, prefix, emit string, want *offline) (v verdict, err error) {
	records, err := committed(ctx, addr, prefix+"meter-hourly-average")
	if err != nil {
		return v, err
	}
	rows, err := hourlyRows(records)
	return judge(want, emit, rows), err
}

// The checker sees a result that is not there, is there twice, or is another, also
// when it comes from a cluster; and what is not committed it does not see.
func TestKafkaCheckerSeesFaults(t *testing.T) {
	text := lines(60)
	want := compute(t, []byte(header+"\n"+text), 3)
	perfect := perfectOutput(want, "update")
	last := len(perfect) - 1
	changed := slices.Clone(perfect)
	changed[last].mean += 1000
	for name, c := range map[string]struct {
		rows    []output
		aborted []output
		verdict verdict
	}{
		"perfect":         {perfect, nil, verdict{}},
		"one missing":     {perfect[:last], nil, verdict{lost: 1}},
		"one uncommitted": {perfect[:last], perfect[last:], verdict{lost: 1}},
		"one twice":       {append(slices.Clone(perfect), perfect[last]), nil, verdict{dup: 1}},
		"one changed":     {changed, nil, verdict{lost: 1, wrong: 1}},
	} {
		addr := emulated(t, true)
		put(t, addr, want, c.rows, kgo.TryCommit)
		put(t, addr, want, c.aborted, kgo.TryAbort)
		if v, err := judgeKafka(t.Context(), addr, "", "update", want); v != c.verdict || err != nil {
			t.Errorf("%s: found %v, %v, want %v", name, v, err, c.verdict)
		}
	}
}

// put writes results in one transaction.
func put(t *testing.T, addr string, want *offline, rows []output, end kgo.TransactionEndTry) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("put"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err == nil {
		defer client.Close()
		err = client.BeginTransaction()
	}
	for _, row := range rows {
		if err == nil {
			key := binary.BigEndian.AppendUint64([]byte(row.id.meter), uint64(row.id.start))
			value := binary.BigEndian.AppendUint64(nil, math.Float64bits(row.mean))
			err = client.ProduceSync(t.Context(), &kgo.Record{Topic: "meter-hourly-average", Partition: want.partition(row.id.meter), Key: key, Value: value}).FirstErr()
		}
	}
	if err == nil {
		err = client.EndTransaction(t.Context(), end)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// waitForOutput waits until so many results are committed.
func waitForOutput(t *testing.T, addr string, n int) {
	t.Helper()
	for {
		records, err := committed(t.Context(), addr, "meter-hourly-average")
		if err != nil {
			t.Fatal(err)
		}
		if len(slices.Concat(records...)) >= n {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// lockedBuffer is an output that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// pipe is a standard input that is fed bit by bit.
func pipe(t *testing.T) (stdin io.Reader, feed func(string)) {
	t.Helper()
	out, in := io.Pipe()
	t.Cleanup(func() { in.Close() })
	return out, func(text string) {
		if _, err := io.WriteString(in, text); err != nil {
			t.Error(err)
		}
	}
}

func exitText(code int) string { return fmt.Sprintf("exit code %d\n", code) }
