package simtest

import (
	"context"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// record is a record of a topic of numbers.
type record struct {
	key   string
	value int64
}

// readTopic reads the committed records of a topic, by partition.
func readTopic[K any](log commitlog.Log, t topology.Topic[K, int64], text func(K) string) ([][]record, error) {
	out := make([][]record, t.Partitions)
	for p := range out {
		tp := commitlog.TopicPartition{Topic: t.Name, Partition: int32(p)}
		err := eachRecord(log, tp, func(key, value []byte) error {
			k, err := t.Key.Decode(key)
			if err != nil {
				return err
			}
			v, err := t.Value.Decode(value)
			out[p] = append(out[p], record{text(k), v})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", tp, err)
		}
	}
	return out, nil
}

func eachRecord(log commitlog.Log, tp commitlog.TopicPartition, visit func(key, value []byte) error) error {
	bounds, err := log.Bounds(context.Background(), tp)
	if err != nil {
		return err
	}
	r, err := log.NewReader(commitlog.ReaderOptions{})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Assign(tp, bounds.Start); err != nil {
		return err
	}
	for next := bounds.Start; next < bounds.StableEnd; {
		fetched, err := r.Poll(context.Background())
		if err != nil {
			return err
		}
		for _, b := range fetched[0].Batches {
			for it := b.Records(); it.Next(); {
				if err := visit(it.Key, it.Value); err != nil {
					return err
				}
			}
		}
		next = fetched[0].Next
	}
	return nil
}

func seriesOf(topic [][]record) series {
	s := series{}
	for _, partition := range topic {
		for _, r := range partition {
			s.add(r.key, r.value)
		}
	}
	return s
}

func plain(k string) string                      { return k }
func windowText(w state.Windowed[string]) string { return windowKey(w.Key, int64(w.Start)) }

// check compares a drained node with the model.
func check(b query.Backend, source []sent, windows topology.Emission, v *verdict) error {
	log, e := b.Log(), expect(source, windows)
	var topics [5][][]record
	for i, t := range []topology.Topic[string, int64]{numbers, byGroup, sampled, grouped, chained} {
		var err error
		if topics[i], err = readTopic(log, t, plain); err != nil {
			return err
		}
	}
	windowedRecords, err := readTopic(log, windowed, windowText)
	if err != nil {
		return err
	}
	for p, records := range topics[0] {
		v.values(fmt.Sprintf("input %d", p), valuesOf(records, nil), e.inputs[int32(p)])
	}
	checkRegrouped(topics[1], e, v)
	groupOut, groupRows := groups(topics[1])
	v.series("windowed", seriesOf(windowedRecords), e.windowed)
	v.sample("sampled", seriesOf(topics[2]), e.sampled)
	v.series("grouped", seriesOf(topics[3]), groupOut)
	v.series("chained", seriesOf(topics[4]), e.chained)
	if err := checkStores(b, e, groupRows, v); err != nil {
		return err
	}
	return checkPositions(b, v)
}

func valuesOf(records []record, keep func(record) bool) (values []int64) {
	for _, r := range records {
		if keep == nil || keep(r) {
			values = append(values, r.value)
		}
	}
	return values
}

// checkRegrouped: of each writer everything came through, in its order.
func checkRegrouped(topic [][]record, e *expected, v *verdict) {
	from := map[int64]int32{}
	for p, values := range e.inputs {
		for _, x := range values {
			from[x] = p
		}
	}
	for p := range int32(partitions) {
		for _, g := range []string{"A", "B", "C"} {
			got := valuesOf(topic[partitionOf(g, groupPartitions)], func(r record) bool { return r.key == g && from[r.value] == p })
			v.values(fmt.Sprintf("by-group %s of task %d", g, p), got, e.regrouped[p][g])
		}
	}
}

// checkStores asks typed queries for everything.
func checkStores(b query.Backend, e *expected, groupRows map[string]int64, v *verdict) error {
	ctx := context.Background()
	for _, s := range []struct {
		store state.KeyValueStore[string, int64]
		want  map[string]int64
	}{{sampleSum, e.sampleRows}, {groupSum, groupRows}, {chainStore, e.chainRows}} {
		got := map[string]int64{}
		_, err := query.Scan(ctx, b, s.store, query.Range[string]{}, func(k string, x int64) bool {
			got[k] = x
			return true
		})
		if err != nil {
			return err
		}
		v.rows(s.store.Spec().Name, got, s.want)
		for k, want := range s.want {
			one, _, ok, err := query.Get(ctx, b, s.store, k)
			if err != nil {
				return err
			}
			if !ok || one != want {
				v.wrong++
				v.note("Get %s %s: %d (%v), want %d", s.store.Spec().Name, k, one, ok, want)
			}
		}
	}
	got := map[string]int64{}
	_, err := query.ScanWindows(ctx, b, windowSum, time.Time{}, time.Time{}, func(r query.WindowRow[string, int64]) bool {
		got[windowText(r.Key)] = r.Value
		return true
	})
	v.rows("window-sum", got, e.windowRows)
	return err
}

// checkPositions: the position records, the group and the ends agree.
func checkPositions(b query.Backend, v *verdict) error {
	ctx, log := context.Background(), b.Log()
	group, err := log.GroupOffsets(ctx, "sim")
	if err != nil {
		return err
	}
	for _, t := range []topology.Topic[string, int64]{numbers, byGroup} {
		sub := "sim"
		if t.Name == byGroup.Name {
			sub = byGroup.Name
		}
		for p := range t.Partitions {
			tp := commitlog.TopicPartition{Topic: t.Name, Partition: p}
			bounds, err := log.Bounds(ctx, tp)
			if err != nil {
				return err
			}
			positions := commitlog.TopicPartition{Topic: changelog.PositionsTopic("sim")}
			r, ok, err := log.Latest(ctx, positions, []byte(changelog.TaskID(sub, p)))
			if err != nil {
				return err
			}
			position := changelog.Position{StreamTime: processor.NoTime}
			if ok {
				if position, err = changelog.DecodePosition(r.Value); err != nil {
					return err
				}
			}
			if at := position.Inputs[t.Name]; at != bounds.StableEnd || group[tp].Offset != bounds.StableEnd {
				v.wrong++
				v.note("%s: position %d, group %d, end %d", tp, at, group[tp].Offset, bounds.StableEnd)
			}
		}
	}
	return nil
}
