// Package visits counts visits of users and of pages. This file is that of the
// goka program: callbacks and codecs, not a line of which has been changed.
package visits

import (
	"encoding/json"
	"fmt"

	"github.com/lovoo/goka"
)

// Click is a user's visit of a page.
type Click struct {
	Page string `json:"page"`
}

// Count is the row of a user or of a page.
type Count struct {
	Visits int64  `json:"visits"`
	Last   string `json:"last"` // the page or the user seen last
}

// Visit tells of every hundredth visit of a page.
type Visit struct {
	Visits int64  `json:"visits"`
	User   string `json:"user"`
	Plan   string `json:"plan,omitempty"`
}

// clicked is the callback of the clicks, whose key is the user.
func clicked(ctx goka.Context, msg any) {
	click := msg.(*Click)
	if click.Page == "" {
		ctx.Fail(fmt.Errorf("user %s clicked on no page", ctx.Key()))
	}
	count(ctx, click.Page)
	plan, _ := ctx.Join(plans).(string)
	ctx.Loopback("page:"+click.Page, &Visit{User: ctx.Key(), Plan: plan})
}

// visited is the callback of the loop, whose key is the page.
func visited(ctx goka.Context, msg any) {
	visit := msg.(*Visit)
	visit.Visits = count(ctx, visit.User)
	if visit.Visits%100 != 0 {
		return
	}
	ctx.Emit(milestones, ctx.Key(), visit, goka.WithCtxEmitHeaders(goka.Headers{"kind": []byte("milestone")}))
}

func count(ctx goka.Context, last string) int64 {
	row, ok := ctx.Value().(*Count)
	if !ok {
		row = new(Count)
	}
	row.Visits++
	row.Last = last
	ctx.SetValue(row)
	return row.Visits
}

// jsonCodec is a goka.Codec of *T.
type jsonCodec[T any] struct{}

func (jsonCodec[T]) Encode(value any) ([]byte, error) { return json.Marshal(value) }

func (jsonCodec[T]) Decode(data []byte) (any, error) {
	value := new(T)
	return value, json.Unmarshal(data, value)
}
