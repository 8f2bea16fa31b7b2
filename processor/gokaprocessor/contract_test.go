package gokaprocessor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/processor/gokaprocessor/gokacodec"
	"github.com/tidemill/tidemill/processor/serde"
	"github.com/tidemill/tidemill/runtime"
	"github.com/tidemill/tidemill/runtime/streamtest"
	"github.com/tidemill/tidemill/topology"
)

// failing is a group whose callback does what a test wants of it.
func failing(callback goka.ProcessCallback) func() Group {
	return func() Group {
		return Group{
			Name: "failing", Persist: new(codec.Int64),
			Inputs:  []Input{{Topic: "in", Codec: new(codec.String), Callback: callback}},
			Outputs: []Output{{Topic: "out", Codec: new(codec.String)}},
			Lookups: []Table{{Topic: "known", Codec: new(codec.Int64)}},
			Joins:   []Table{{Topic: "joined", Codec: new(codec.Int64)}},
		}
	}
}

// What ends a callback in goka ends it here, and with it the processor.
func TestFailAsInGoka(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(ctx goka.Context)
		want string // in our message
	}{
		"Fail":               {func(ctx goka.Context) { ctx.Fail(errors.New("it is enough")) }, "it is enough"},
		"Fail without error": {func(ctx goka.Context) { ctx.Fail(nil) }, "without giving an error"},
		"set nil":            {func(ctx goka.Context) { ctx.SetValue(nil) }, "use Delete"},
		"set another type":   {func(ctx goka.Context) { ctx.SetValue("text") }, "does not encode"},
		"emit nowhere":       {func(ctx goka.Context) { ctx.Emit("", "k", "v") }, "without a name"},
		"emit undeclared":    {func(ctx goka.Context) { ctx.Emit("other", "k", "v") }, "Group.Outputs"},
		"emit to the loop":   {func(ctx goka.Context) { ctx.Emit("failing-loop", "k", "v") }, "use Loopback"},
		"emit to the table":  {func(ctx goka.Context) { ctx.Emit("failing-table", "k", "v") }, "use SetValue"},
		"emit another type":  {func(ctx goka.Context) { ctx.Emit("out", "k", 1) }, "does not encode"},
		"no loop":            {func(ctx goka.Context) { ctx.Loopback("k", "v") }, "Group.Loop"},
		"join undeclared":    {func(ctx goka.Context) { ctx.Join("known") }, "Group.Joins"},
		"lookup undeclared":  {func(ctx goka.Context) { ctx.Lookup("joined", "k") }, "Group.Lookups"},
		"a panic":            {func(goka.Context) { panic("of the user") }, "of the user"},
	} {
		t.Run(name, func(t *testing.T) {
			went := 0
			group := failing(func(ctx goka.Context, v any) {
				ctx.Emit("out", "before", "lost with the record")
				if v == "now" {
					c.do(ctx)
				}
				went++
			})
			ours, gokas := failsLikeGoka(t, group, sent{topic: "in", key: "a", value: "not yet"}, sent{topic: "in", key: "a", value: "now"})
			if ours == nil || !strings.Contains(ours.Error(), c.want) || !strings.Contains(ours.Error(), "in-0@1") {
				t.Errorf("error %v, want one with %q that names the record", ours, c.want)
			}
			if gokas == nil {
				t.Error("goka has no error")
			}
			if went != 2 {
				t.Errorf("callbacks came to their end %d times, want once on each side", went)
			}
		})
	}
}

func TestStatelessGroupHasNoValue(t *testing.T) {
	group := func() Group {
		return Group{Name: "stateless", Inputs: []Input{{Topic: "in", Codec: new(codec.String),
			Callback: func(ctx goka.Context, v any) { ctx.Value() }}}}
	}
	ours, gokas := failsLikeGoka(t, group, sent{topic: "in", value: "x"})
	if ours == nil || gokas == nil || !strings.Contains(ours.Error(), "Group.Persist") {
		t.Errorf("ours: %v; goka: %v", ours, gokas)
	}
}

// A callback that recovers from the panic of Fail has failed all the same.
func TestFailIsNotRecoveredFrom(t *testing.T) {
	group := failing(func(ctx goka.Context, _ any) {
		defer func() { _ = recover() }()
		ctx.SetValue(int64(1))
		ctx.Fail(errors.New("no way back"))
	})
	d := streamtest.New(t, group().Build, streamtest.Mode{})
	if err := send(t, d, group(), 0, sent{topic: "in", value: "x"}); err == nil || !strings.Contains(err.Error(), "no way back") {
		t.Errorf("error %v", err)
	}
}

// Under a policy that leaves records out, nothing of a failed callback is kept.
func TestPoisonPolicy(t *testing.T) {
	group := failing(func(ctx goka.Context, v any) {
		n, _ := ctx.Value().(int64)
		ctx.SetValue(n + 1)
		ctx.Emit("out", ctx.Key(), v)
		switch v {
		case "fail":
			ctx.Fail(errors.New("asked to"))
		case "panic":
			panic("asked to")
		}
	})
	for _, mode := range streamtest.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			d := streamtest.Config{Poison: runtime.PoisonDeadLetter}.New(t, group().Build, mode)
			for i, v := range []string{"a", "fail", "b", "panic", "c"} {
				if err := send(t, d, group(), i, sent{topic: "in", key: "k", value: v}); err != nil {
					t.Fatal(err)
				}
			}
			got := result(d, group())
			if want := []string{`"k"="a"`, `"k"="b"`, `"k"="c"`}; !slices.Equal(got.topics["out"], want) || got.table["k"] != "3" {
				t.Errorf("written %v, want %v and a count of 3", got, want)
			}
			if letters := streamtest.Output(d, rawTopic("failing-dead-letters")).All(); len(letters) != 2 {
				t.Errorf("%d dead letters, want 2", len(letters))
			}
		})
	}
}

// What a callback may ask about its record.
func TestRecordOfTheCallback(t *testing.T) {
	var got string
	g := Group{Name: "asking", Partitions: 3, Inputs: []Input{{Topic: "in", Codec: new(codec.String), Callback: func(ctx goka.Context, v any) {
		got = fmt.Sprint(ctx.Group(), " ", ctx.Topic(), " ", ctx.Partition(), " ", ctx.Offset(), " ", ctx.Key(), " ", v, " ",
			ctx.Timestamp().Format(time.RFC3339), " ", len(ctx.Headers()), " ", ctx.Headers() == nil, " ", ctx.Context().Value(contextKey{}))
	}}}, BaseContext: context.WithValue(t.Context(), contextKey{}, "base")}
	d := streamtest.New(t, g.Build, streamtest.Mode{})
	in := streamtest.Input(d, g.Topic("in"))
	at := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	in.SendAt("key", processor.Some[any]("first"), at)
	in.SendAt("key", processor.Some[any]("second"), at)
	want := fmt.Sprint("asking in ", topology.FNV1a().Place([]byte("key"), 3), " 1 key second 2024-05-01T12:00:00Z 0 false base")
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

type contextKey struct{}

// A context that is kept tells of its own record for ever, and what Context
// returned ends with the task.
func TestKeptContext(t *testing.T) {
	var kept []goka.Context
	group := failing(func(ctx goka.Context, _ any) { kept = append(kept, ctx) })
	t.Run("driver", func(t *testing.T) {
		d := streamtest.New(t, group().Build, streamtest.Mode{})
		for i, key := range []string{"a", "b"} {
			if err := send(t, d, group(), i, sent{topic: "in", key: key, value: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		if kept[0].Key() != "a" || kept[1].Key() != "b" || kept[0].Context().Err() != nil {
			t.Errorf("keys %s %s, context %v", kept[0].Key(), kept[1].Key(), kept[0].Context().Err())
		}
	})
	if kept[0].Context().Err() == nil {
		t.Error("the context outlives the task")
	}
}

func TestHeadersOfTheTableAreRefused(t *testing.T) {
	for _, drop := range []bool{false, true} {
		group := failing(func(ctx goka.Context, _ any) {
			ctx.SetValue(int64(1), goka.WithCtxEmitHeaders(goka.Headers{}))
			ctx.SetValue(int64(1), goka.WithCtxEmitHeaders(goka.Headers{"h": nil}))
			ctx.Delete(goka.WithCtxEmitHeaders(goka.Headers{"h": nil}))
		})()
		group.DropTableHeaders = drop
		d := streamtest.New(t, group.Build, streamtest.Mode{})
		err := send(t, d, group, 0, sent{topic: "in", value: "x"})
		if drop != (err == nil) || err != nil && !strings.Contains(err.Error(), "DropTableHeaders") {
			t.Errorf("DropTableHeaders %v: error %v", drop, err)
		}
	}
}

// Records that the callback goes on to change are written as they were.
func TestBytesAreCopied(t *testing.T) {
	group := Group{Name: "bytes", Persist: new(codec.Bytes), Outputs: []Output{{Topic: "out", Codec: new(codec.Bytes)}},
		Inputs: []Input{{Topic: "in", Codec: new(codec.Bytes), Callback: func(ctx goka.Context, v any) {
			b := v.([]byte)
			ctx.SetValue(b)
			ctx.Emit("out", "k", b)
			ctx.Headers()["h"][0] = '*'
			b[0] = '*'
			ctx.Value().([]byte)[0] = '*'
		}}}}
	d := streamtest.New(t, group.Build, streamtest.Mode{})
	raw := sent{topic: "in", key: "k", value: []byte("bytes"), headers: goka.Headers{"h": []byte("header")}}
	if err := send(t, d, group, 0, raw); err != nil {
		t.Fatal(err)
	}
	got := result(d, group)
	if got.table["k"] != "bytes" || !slices.Equal(got.topics["out"], []string{`"k"="bytes"`}) {
		t.Errorf("written %v", got)
	}
	for _, r := range streamtest.Output(d, rawTopic("in")).All() {
		if !bytes.Equal(r.Value.Value, []byte("bytes")) || !bytes.Equal(r.Headers[0].Value, []byte("header")) {
			t.Errorf("the log itself was changed: %q %q", r.Value.Value, r.Headers)
		}
	}
}

// The topics of a group lie where goka looks for them.
func TestPartitions(t *testing.T) {
	g := counting()
	g.Partitions = 7
	d := streamtest.New(t, g.Build, streamtest.Mode{})
	for i := range 200 {
		key := fmt.Sprint("key-", i)
		streamtest.Input(d, g.Topic("words")).Send(key, processor.Some[any]("x"))
	}
	fnv := topology.FNV1a()
	table := topology.Topic[string, int64]{Name: g.TableTopic(), Key: serde.String, Value: gokacodec.Int64}
	records := streamtest.Output(d, table).All()
	if len(records) != 200 {
		t.Errorf("%d records in %s, want 200", len(records), g.TableTopic())
	}
	for _, r := range records {
		if want := fnv.Place([]byte(r.Key), 7); r.Origin.Partition != want {
			t.Fatalf("row %s of the table in partition %d, want %d", r.Key, r.Origin.Partition, want)
		}
	}
}

// Other readers of the table topic wait for a tombstone, whether there was a row or
// not.
func TestDeleteWritesTombstones(t *testing.T) {
	g := noting()
	d := streamtest.New(t, noting().Build, streamtest.Mode{Schedule: streamtest.EveryCommit})
	for i, line := range []string{"delete nothing", "a line", "delete"} {
		if err := send(t, d, g, i, sent{topic: "notes", key: "k", value: []byte(line)}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range streamtest.Output(d, rawTopic(g.TableTopic())).All() {
		got = append(got, showRecord(r.Key, r.Value.Value, nil))
	}
	if want := []string{`"k"=null`, `"k"="{\"Lines\":[\"a line\"]}"`, `"k"=null`}; !slices.Equal(got, want) {
		t.Errorf("table topic %v, want %v", got, want)
	}
}
