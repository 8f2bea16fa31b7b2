package kafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

func abortedAt(pairs ...int64) (list []kmsg.FetchResponseTopicPartitionAbortedTransaction) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: pairs[i], FirstOffset: pairs[i+1]})
	}
	return list
}

var someplace = commitlog.TopicPartition{Topic: "t", Partition: 3}

func TestDecode(t *testing.T) {
	emptied := func(base int64, last int32) crafted { return crafted{base: base, lastDelta: last, producer: 5} }
	for name, c := range map[string]struct {
		raw     []byte
		from    int64
		aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction
		want    []int64
		next    int64
	}{
		"nothing":               {nil, 7, nil, nil, 7},
		"plain":                 {join(plainBatch(0, 2), plainBatch(2, 1)), 0, nil, []int64{0, 1, 2}, 3},
		"first begins below":    {join(plainBatch(0, 4)), 2, nil, []int64{2, 3}, 4},
		"all of it below":       {join(plainBatch(0, 4), plainBatch(4, 1)), 4, nil, []int64{4}, 5},
		"gaps":                  {join(crafted{base: 0, lastDelta: 9, deltas: []int32{2, 5}, producer: -1}, plainBatch(20, 1)), 0, nil, []int64{2, 5, 20}, 21},
		"asked in the hole":     {join(crafted{base: 0, lastDelta: 9, deltas: []int32{2}, producer: -1}), 5, nil, nil, 10},
		"emptied":               {join(emptied(0, 4), plainBatch(5, 1)), 0, nil, []int64{5}, 6},
		"emptied at the end":    {join(plainBatch(0, 1), emptied(1, 8)), 0, nil, []int64{0}, 10},
		"only emptied":          {join(emptied(3, 3)), 3, nil, nil, 7},
		"delete horizon":        {join(crafted{base: 0, deltas: []int32{0, 1}, producer: -1, horizon: true}), 0, nil, []int64{0, 1}, 2},
		"committed":             {join(plainBatch(0, 2).by(5), marker(2, 'C', 5)), 0, nil, []int64{0, 1}, 3},
		"aborted":               {join(plainBatch(0, 2).by(5), marker(2, 'A', 5), plainBatch(3, 1)), 0, abortedAt(5, 0), []int64{3}, 4},
		"aborted to the end":    {join(plainBatch(0, 2).by(5), plainBatch(2, 2).by(5)), 0, abortedAt(5, 0), nil, 4},
		"began before":          {join(plainBatch(10, 2).by(5), marker(12, 'A', 5), plainBatch(13, 1).by(5)), 10, abortedAt(5, 2), []int64{13}, 14},
		"marker's epoch is its": {join(crafted{base: 0, deltas: []int32{0}, producer: 5, epoch: 1}, marker(1, 'A', 5), plainBatch(2, 1).by(5)), 0, abortedAt(5, 0), []int64{2}, 3},
		"list out of order": {join(plainBatch(0, 1).by(5), plainBatch(1, 1).by(6), marker(2, 'A', 6), marker(3, 'A', 5), plainBatch(4, 1).by(6), plainBatch(5, 1).by(5)), 0,
			abortedAt(6, 1, 5, 0), []int64{4, 5}, 6},
		"twice the same": {join(plainBatch(0, 1).by(5), marker(1, 'A', 5), plainBatch(2, 1).by(5), marker(3, 'C', 5), plainBatch(4, 1).by(5), marker(5, 'A', 5)), 0,
			abortedAt(5, 4, 5, 0), []int64{2}, 6},
		"others between":            {join(plainBatch(0, 1).by(5), plainBatch(1, 1).by(6), plainBatch(2, 1), marker(3, 'A', 5), marker(4, 'C', 6)), 0, abortedAt(5, 0), []int64{1, 2}, 5},
		"marker below the position": {join(plainBatch(0, 1).by(5), marker(1, 'A', 5), plainBatch(2, 1).by(5)), 2, abortedAt(5, 0), []int64{2}, 3},
		"marker emptied":            {join(crafted{base: 0, producer: 5, marker: 'A'}, plainBatch(1, 1)), 0, nil, []int64{1}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			d := decode(someplace, c.raw, c.from, c.aborted)
			got, err := offsetsIn(d.batches, c.from)
			if err != nil || d.err != nil || d.short != 0 {
				t.Fatalf("%v, %v, short %d", err, d.err, d.short)
			}
			if !slices.Equal(got, c.want) || d.next != c.next {
				t.Errorf("got %v and position %d, want %v and %d", got, d.next, c.want, c.next)
			}
		})
	}
}

func TestDecodeCutOff(t *testing.T) {
	whole, tail := plainBatch(0, 2).bytes(), plainBatch(2, 50).bytes()
	for cut := range len(tail) {
		d := decode(someplace, append(slices.Clone(whole), tail[:cut]...), 0, nil)
		if d.err != nil || d.next != 2 || len(d.batches) != 1 {
			t.Fatalf("cut at %d: %+v", cut, d)
		}
		if cut > 17 && d.short != len(tail) {
			t.Fatalf("cut at %d: the batch has %d bytes, got %d", cut, len(tail), d.short)
		}
	}
}

// TestDecodeDamage: the error says where, and what was before it is delivered.
func TestDecodeDamage(t *testing.T) {
	good := plainBatch(0, 2).bytes()
	for name, damage := range map[string]func(raw []byte) []byte{
		"flipped bit":   func(raw []byte) []byte { raw[len(raw)-3] ^= 1; return raw },
		"older format":  func(raw []byte) []byte { raw[16] = 1; return raw },
		"unknown codec": func([]byte) []byte { c := plainBatch(2, 1); c.attributes = 6; return c.bytes() },
		"absurd length": func(raw []byte) []byte { raw[8] = 0x7f; return raw },
	} {
		d := decode(someplace, append(slices.Clone(good), damage(plainBatch(2, 1).bytes())...), 0, nil)
		if len(d.batches) != 1 || d.next != 2 || !errors.Is(d.err, commitlog.ErrCorrupt) {
			t.Errorf("%s: %+v", name, d)
			continue
		}
		for _, part := range []string{"t-3", "offset 2", "codec"} {
			if !strings.Contains(d.err.Error(), part) {
				t.Errorf("%s: the error does not name %q: %v", name, part, d.err)
			}
		}
	}
}

// TestDecodeModel compares random logs, read from every offset, with what a model
// says is committed.
func TestDecodeModel(t *testing.T) {
	for seed := range uint64(200) {
		if err := decodeModel(rand.New(rand.NewPCG(seed, 1)), decode); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestDecodeModelControls: a reader with one of these faults must be found out.
func TestDecodeModelControls(t *testing.T) {
	for name, faulty := range map[string]decoder{
		"does not filter": func(tp commitlog.TopicPartition, raw []byte, from int64, _ []kmsg.FetchResponseTopicPartitionAbortedTransaction) decoded {
			return decode(tp, raw, from, nil)
		},
		"stays at what it delivered": func(tp commitlog.TopicPartition, raw []byte, from int64, aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) decoded {
			d := decode(tp, raw, from, aborted)
			d.next = from
			if n := len(d.batches); n > 0 {
				d.next = d.batches[n-1].NextOffset()
			}
			return d
		},
	} {
		found := false
		for seed := range uint64(50) {
			found = found || decodeModel(rand.New(rand.NewPCG(seed, 1)), faulty) != nil
		}
		if !found {
			t.Errorf("a reader that %s passes", name)
		}
	}
}

// modelLog is a random log: its batches, and what of it is committed.
type modelLog struct {
	batches   []crafted
	committed []int64
	aborted   []abortedSpan
	end       int64
}

type abortedSpan struct{ producer, first, last int64 }

func randomLog(rng *rand.Rand) modelLog {
	var l modelLog
	open := map[int64][]int64{} // offsets of the open transaction by producer
	begun := map[int64]int64{}
	for range 30 {
		producer := int64(rng.IntN(4))
		switch _, inTxn := begun[producer]; {
		case producer == 0: // not transactional
			c := holes(rng, plainBatch(l.end, 1+rng.IntN(4)))
			l.committed = append(l.committed, offsetsOf(c)...)
			l.add(c)
		case inTxn && rng.IntN(3) == 0:
			kind := 'C'
			if rng.IntN(2) == 0 {
				kind = 'A'
				l.aborted = append(l.aborted, abortedSpan{producer, begun[producer], l.end})
			} else {
				l.committed = append(l.committed, open[producer]...)
			}
			l.add(marker(l.end, int(kind), producer))
			delete(begun, producer)
			delete(open, producer)
		default:
			c := holes(rng, plainBatch(l.end, 1+rng.IntN(4)).by(producer))
			if !inTxn {
				begun[producer] = l.end
			}
			open[producer] = append(open[producer], offsetsOf(c)...)
			l.add(c)
		}
	}
	for producer, first := range begun { // every transaction is decided below the stable end
		l.aborted = append(l.aborted, abortedSpan{producer, first, l.end})
		l.add(marker(l.end, 'A', producer))
	}
	slices.Sort(l.committed)
	return l
}

func (l *modelLog) add(c crafted) {
	l.batches = append(l.batches, c)
	last := c.lastDelta
	if n := len(c.deltas); n > 0 {
		last = max(last, c.deltas[n-1])
	}
	l.end = c.base + int64(last) + 1
}

// holes does what compaction does: records go, the last offset stays.
func holes(rng *rand.Rand, c crafted) crafted {
	c.lastDelta = c.deltas[len(c.deltas)-1]
	if rng.IntN(2) == 0 {
		c.deltas = slices.DeleteFunc(c.deltas, func(int32) bool { return rng.IntN(2) == 0 })
	}
	c.horizon = rng.IntN(4) == 0
	return c
}

func offsetsOf(c crafted) (offsets []int64) {
	for _, d := range c.deltas {
		offsets = append(offsets, c.base+int64(d))
	}
	return offsets
}

// decodeModel reads a random log in replies of random length from every offset.
func decodeModel(rng *rand.Rand, decode decoder) error {
	l := randomLog(rng)
	for from := range l.end {
		var got []int64
		for position, rounds := from, 0; position < l.end; rounds++ {
			if rounds > 1000 {
				return fmt.Errorf("from %d the position stays at %d of %d", from, position, l.end)
			}
			raw, upTo := l.reply(rng, position)
			var aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction
			for _, a := range l.aborted {
				if a.last >= position && a.first < upTo {
					aborted = append(aborted, abortedAt(a.producer, a.first)...)
				}
			}
			rng.Shuffle(len(aborted), func(i, j int) { aborted[i], aborted[j] = aborted[j], aborted[i] })
			d := decode(someplace, raw, position, aborted)
			if d.err != nil {
				return d.err
			}
			offsets, err := offsetsIn(d.batches, position)
			if err != nil {
				return err
			}
			got = append(got, offsets...)
			position = d.next
		}
		want := slices.DeleteFunc(slices.Clone(l.committed), func(o int64) bool { return o < from })
		if !slices.Equal(got, want) {
			return fmt.Errorf("from %d: got %v, want %v", from, got, want)
		}
	}
	return nil
}

// reply is what a broker returns at a position: from the batch that holds it or
// the next one on, at least one, the last possibly cut off.
func (l *modelLog) reply(rng *rand.Rand, position int64) (raw []byte, upTo int64) {
	first := slices.IndexFunc(l.batches, func(c crafted) bool {
		last := c.lastDelta
		if n := len(c.deltas); n > 0 {
			last = max(last, c.deltas[n-1])
		}
		return c.base+int64(last) >= position
	})
	n := 1 + rng.IntN(5)
	for i := first; i < min(first+n, len(l.batches)); i++ {
		raw = append(raw, l.batches[i].bytes()...)
		upTo = l.batches[i].base + 1000
	}
	if next := first + n; next < len(l.batches) {
		tail := l.batches[next].bytes()
		raw = append(raw, tail[:rng.IntN(len(tail))]...)
	}
	return raw, upTo
}

func FuzzDecodeFetch(f *testing.F) {
	f.Add(join(plainBatch(0, 3), marker(3, 'A', 5)), int64(0), int64(5), int64(0))
	f.Fuzz(func(t *testing.T, raw []byte, from, producer, first int64) {
		d := decode(someplace, raw, from, abortedAt(producer, first))
		if d.next < from {
			t.Fatalf("the position went back from %d to %d", from, d.next)
		}
		if _, err := offsetsIn(d.batches, from); err != nil && !errors.Is(err, recordbatch.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
