package commitlogtest

import (
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

func lookupCases() []Case {
	return []Case{
		{Name: "lookup/latest", Why: "positions are found by task id at every start", run: latestRecords},
		{Name: "lookup/read at", Why: "an offset index answers with what lies at its offsets, or says that it is not there", run: readAt},
	}
}

func latestRecords(e *env) error {
	for _, keep := range []bool{false, true} {
		name := fmt.Sprint("latest-", keep)
		cfg := commitlog.TopicConfig{Name: name, Partitions: 2, Cleanup: commitlog.CleanupCompact, KeepLatest: keep}
		if err := e.log.CreateTopic(e.ctx, cfg); err != nil {
			return err
		}
		w, err := e.writer("w")
		if err != nil {
			return err
		}
		want := map[string]*string{}
		for i := range 30 {
			key := fmt.Sprint("k", i%7)
			value := fmt.Sprint("v", i)
			b := &recordbatch.Builder{}
			if want[key] = &value; i%5 == 4 {
				want[key] = nil
				b.Append(int64(i), []byte(key), nil, nil)
			} else {
				b.Append(int64(i), []byte(key), []byte(value), nil)
			}
			if err := first(w.Begin, func() error { return w.Append(tp(name, 1), b) }); err != nil {
				return err
			}
			if _, err := w.Commit(e.ctx); err != nil {
				return err
			}
		}
		if err := first(w.Begin, func() error { return w.Append(tp(name, 1), builder("uncommitted")) }); err != nil {
			return err
		}
		if err := e.expectLatest(name, want); err != nil {
			return fmt.Errorf("KeepLatest %v: %w", keep, err)
		}
	}
	return nil
}

func (e *env) expectLatest(topic string, want map[string]*string) error {
	for key, value := range want {
		got, ok, err := e.log.Latest(e.ctx, tp(topic, 1), []byte(key))
		if err != nil || !ok || !got.Found || string(got.Key) != key {
			return fmt.Errorf("key %s: %+v, %v, %v", key, got, ok, err)
		}
		if (value == nil) != (got.Value == nil) || value != nil && *value != string(got.Value) {
			return fmt.Errorf("key %s has value %q, want %v", key, got.Value, value)
		}
		at, err := e.log.ReadAt(e.ctx, []commitlog.RecordID{{TopicPartition: tp(topic, 1), Offset: got.Offset}})
		if err != nil || string(at[0].Key) != key || string(at[0].Value) != string(got.Value) {
			return fmt.Errorf("key %s: Latest says offset %d, which holds %+v, %v", key, got.Offset, at, err)
		}
	}
	for _, key := range []string{"none", "key of uncommitted"} {
		if got, ok, err := e.log.Latest(e.ctx, tp(topic, 1), []byte(key)); ok || err != nil {
			return fmt.Errorf("key %s: %+v, %v, %v, want nothing", key, got, ok, err)
		}
	}
	return nil
}

func readAt(e *env) error {
	w, err := e.topic("a", 2, "w")
	if err != nil {
		return err
	}
	var ids []commitlog.RecordID
	var want []string
	for i := range 40 {
		at := tp("a", int32(i%2))
		values := []string{fmt.Sprint(i, "a"), fmt.Sprint(i, "b"), fmt.Sprint(i, "c")}
		wrote, err := e.put(w, at, values...)
		if err != nil {
			return err
		}
		for j, v := range values {
			ids = append(ids, commitlog.RecordID{TopicPartition: at, Offset: wrote.Base + int64(j)})
			want = append(want, v)
		}
	}
	for i := range ids { // asked for in an order of their own, some twice
		j := (i * 7) % len(ids)
		ids[i], ids[j], want[i], want[j] = ids[j], ids[i], want[j], want[i]
	}
	ids = append(ids, ids[0], commitlog.RecordID{TopicPartition: tp("a", 0), Offset: 1 << 40}, commitlog.RecordID{TopicPartition: tp("a", 1), Offset: -1})
	got, err := e.log.ReadAt(e.ctx, ids)
	if err != nil {
		return err
	}
	if len(got) != len(ids) {
		return fmt.Errorf("%d answers to %d offsets", len(got), len(ids))
	}
	for i, v := range append(want, want[0]) {
		if !got[i].Found || string(got[i].Value) != v || got[i].Offset != ids[i].Offset || string(got[i].Key) != "key of "+v {
			return fmt.Errorf("%v holds %+v, want %q", ids[i], got[i], v)
		}
	}
	if got[len(got)-2].Found || got[len(got)-1].Found {
		return fmt.Errorf("offsets outside the log were found: %+v", got[len(got)-2:])
	}
	return nil
}
