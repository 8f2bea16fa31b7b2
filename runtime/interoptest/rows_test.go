package interoptest

import (
	"cmp"
	"slices"
	"testing"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// row is a record as bytes: what two programs have written is equal if these are.
type row struct {
	partition  int32
	key, value string
	time       int64
}

// contents is what a topic holds.
type contents struct {
	rows   []row // by partition, then in order
	codecs map[recordbatch.Codec]int
}

// readAll reads everything that is committed in a topic.
func readAll(t *testing.T, l commitlog.Log, topic string) contents {
	t.Helper()
	cfg, err := l.Topic(t.Context(), topic)
	must(t, err)
	var tps []commitlog.TopicPartition
	for p := range cfg.Partitions {
		tps = append(tps, commitlog.TopicPartition{Topic: topic, Partition: p})
	}
	settled, err := l.Settled(t.Context(), tps)
	must(t, err)
	r, err := l.NewReader(commitlog.ReaderOptions{})
	must(t, err)
	defer r.Close()
	for _, tp := range tps {
		must(t, r.Assign(tp, settled[tp].Start))
	}
	all := contents{codecs: map[recordbatch.Codec]int{}}
	for open := len(tps); open > 0; {
		fetched, err := r.Poll(t.Context())
		must(t, err)
		for _, f := range fetched {
			for _, batch := range f.Batches {
				all.take(t, f.Partition, batch)
			}
			if f.Next >= settled[f.TopicPartition].StableEnd {
				r.Unassign(f.TopicPartition)
				open--
			}
		}
	}
	slices.SortStableFunc(all.rows, func(a, b row) int { return cmp.Compare(a.partition, b.partition) })
	return all
}

func (c *contents) take(t *testing.T, partition int32, batch recordbatch.Batch) {
	t.Helper()
	c.codecs[batch.Codec()]++
	it := batch.Records()
	for it.Next() {
		c.rows = append(c.rows, row{partition, string(it.Key), string(it.Value), it.Time})
	}
	must(t, it.Err())
}

// last returns the last value of each key.
func last(rows []row) map[string]string {
	values := map[string]string{}
	for _, r := range rows {
		values[r.key] = r.value
	}
	return values
}

// sorted returns the rows by key, then value, without partition and time: for
// results whose order nobody promises.
func sorted(rows []row) []row {
	plain := make([]row, len(rows))
	for i, r := range rows {
		plain[i] = row{key: r.key, value: r.value}
	}
	slices.SortFunc(plain, func(a, b row) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.value, b.value)) })
	return plain
}

// write commits rows to a topic, in transactions of some thousand.
func write(t *testing.T, l commitlog.Log, topic string, rows []row) {
	t.Helper()
	w, err := l.OpenWriter(t.Context(), "writes-"+topic)
	must(t, err)
	defer w.Close()
	for part := range slices.Chunk(rows, 5000) {
		must(t, w.Begin())
		batches := map[int32]*recordbatch.Builder{}
		for _, r := range part {
			if batches[r.partition] == nil {
				batches[r.partition] = &recordbatch.Builder{}
			}
			batches[r.partition].Append(r.time, []byte(r.key), []byte(r.value), nil)
		}
		for p, b := range batches {
			must(t, w.Append(commitlog.TopicPartition{Topic: topic, Partition: p}, b))
		}
		_, err := w.Commit(t.Context())
		must(t, err)
	}
}
