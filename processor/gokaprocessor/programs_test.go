package gokaprocessor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
)

// counting counts the records of each key.
func counting() Group {
	return Group{
		Name: "counting", Persist: new(codec.Int64),
		Inputs: []Input{{Topic: "words", Codec: new(codec.String), Callback: func(ctx goka.Context, _ any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}}},
	}
}

// visiting counts the clicks of each user, and through the loop those of each
// page, whose counts it emits.
func visiting() Group {
	count := func(ctx goka.Context) int64 {
		n, _ := ctx.Value().(int64)
		ctx.SetValue(n + 1)
		return n + 1
	}
	return Group{
		Name: "visiting", Persist: new(codec.Int64),
		Inputs: []Input{{Topic: "clicks", Codec: new(codec.String), Callback: func(ctx goka.Context, page any) {
			if count(ctx) == 3 {
				ctx.Emit("regulars", ctx.Key(), "hello")
			}
			ctx.Loopback("page-"+page.(string), ctx.Key())
		}}},
		Loop: &Loop{Codec: new(codec.String), Callback: func(ctx goka.Context, user any) {
			n := count(ctx)
			ctx.Emit("pages", ctx.Key(), n)
			if user == "echo" && n < 4 {
				ctx.Loopback(ctx.Key(), user)
			}
		}},
		Outputs: []Output{{Topic: "pages", Codec: new(codec.Int64)}, {Topic: "regulars", Codec: new(codec.String)}},
	}
}

// ordering joins orders with customers and looks prices up.
func ordering() Group {
	return Group{
		Name: "ordering",
		Inputs: []Input{{Topic: "orders", Codec: new(codec.String), Callback: func(ctx goka.Context, article any) {
			ctx.Emit("bills", ctx.Key(), fmt.Sprint(article, " for ", ctx.Join("customers"), " at ", ctx.Lookup("prices", article.(string))))
		}}},
		Joins:   []Table{{Topic: "customers", Codec: new(codec.String)}},
		Lookups: []Table{{Topic: "prices", Codec: new(codec.Int64)}},
		Outputs: []Output{{Topic: "bills", Codec: new(codec.String)}},
	}
}

// heading emits what it gets in headers, and sets others.
func heading() Group {
	return Group{
		Name:           "heading",
		DefaultHeaders: goka.Headers{"by": []byte("default"), "app": []byte("heading")},
		Inputs: []Input{{Topic: "headed", Codec: new(codec.String), Callback: func(ctx goka.Context, v any) {
			ctx.Emit("again", ctx.Key(), v)
			ctx.Emit("again", ctx.Key(), v, goka.WithCtxEmitHeaders(ctx.Headers()))
			ctx.Emit("again", ctx.Key(), v, goka.WithCtxEmitHeaders(goka.Headers{"by": []byte("first"), "a": []byte("1")}),
				goka.WithCtxEmitHeaders(goka.Headers{"by": []byte("second")}))
			if len(ctx.Headers()) > 0 {
				ctx.Loopback(ctx.Key(), v, goka.WithCtxEmitHeaders(goka.Headers{"looped": nil}))
			}
		}}},
		Loop: &Loop{Codec: new(codec.String), Callback: func(ctx goka.Context, v any) {
			ctx.Emit("again", fmt.Sprint(len(ctx.Headers())), v, goka.WithCtxEmitHeaders(ctx.Headers()))
		}},
		Outputs: []Output{{Topic: "again", Codec: new(codec.String)}},
	}
}

// note is a value that callbacks change in place.
type note struct{ Lines []string }

type noteCodec struct{}

func (noteCodec) Encode(v any) ([]byte, error) { return json.Marshal(v) }

func (noteCodec) Decode(data []byte) (any, error) {
	n := new(note)
	return n, json.Unmarshal(data, n)
}

// noting obeys its input: it sets, changes, deletes and reads rows.
func noting() Group {
	return Group{
		Name: "noting", Persist: noteCodec{},
		Inputs: []Input{{Topic: "notes", Codec: new(codec.Bytes), Callback: func(ctx goka.Context, v any) {
			line := v.([]byte)
			read := func() *note {
				n, _ := ctx.Value().(*note)
				if n == nil {
					return &note{}
				}
				return n
			}
			switch {
			case strings.HasPrefix(string(line), "delete"):
				ctx.Delete()
			case strings.HasPrefix(string(line), "spoil"):
				if n := read(); len(n.Lines) > 0 {
					n.Lines[0] = "spoilt, and not set"
				}
			case strings.HasPrefix(string(line), "both"):
				ctx.Delete()
				ctx.SetValue(&note{Lines: []string{"after the deletion"}})
			default:
				n := read()
				n.Lines = append(n.Lines, string(line))
				ctx.SetValue(n)
				n.Lines[0] = "changed behind SetValue"
			}
			ctx.Emit("seen", ctx.Key(), bytes.Clone(line)) // goka may send the bytes later
			line[0] = '*'                                  // the record's are the callback's
			ctx.Emit("seen", ctx.Key(), []byte(fmt.Sprint(read().Lines)))
			if len(read().Lines) == 0 {
				ctx.Emit("seen", ctx.Key(), nil)
			}
		}}},
		Outputs: []Output{{Topic: "seen", Codec: new(codec.Bytes)}},
	}
}

// nilCodec tells that it was asked to decode nil, and returns no bytes for "none".
type nilCodec struct{ codec.String }

func (c *nilCodec) Decode(data []byte) (any, error) {
	if data == nil {
		return "decoded nil", nil
	}
	return c.String.Decode(data)
}

func (c *nilCodec) Encode(v any) ([]byte, error) {
	if v == nil {
		return []byte("encoded nil"), nil
	}
	if v == "none" {
		return nil, nil
	}
	return c.String.Encode(v)
}

// nothing gets records without values and sends some.
func nothing(mode goka.NilHandling) func() Group {
	return func() Group {
		return Group{
			Name: "nothing", NilHandling: mode,
			Inputs: []Input{{Topic: "maybe", Codec: new(nilCodec), Callback: func(ctx goka.Context, v any) {
				ctx.Emit("got", ctx.Key(), fmt.Sprintf("%v", v))
				ctx.Emit("got", ctx.Key(), nil)
				ctx.Emit("got", ctx.Key(), "none")
				ctx.Loopback(ctx.Key()+"-nil", nil)
				ctx.Loopback(ctx.Key()+"-none", "none")
			}}},
			Loop: &Loop{Codec: new(nilCodec), Callback: func(ctx goka.Context, v any) {
				ctx.Emit("got", ctx.Key(), fmt.Sprintf("looped %v", v))
			}},
			Outputs: []Output{{Topic: "got", Codec: new(nilCodec)}},
		}
	}
}
