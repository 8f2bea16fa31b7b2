package gokaprocessor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lovoo/goka"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// callbackContext is the goka.Context of one record. It is valid during the
// callback.
type callbackContext struct {
	p       *groupProcessor
	engine  processor.Context[string, emission]
	record  processor.Record[string, Value]
	headers goka.Headers // of the record, once asked for
	err     error        // of Fail
}

var _ goka.Context = (*callbackContext)(nil)

func (c *callbackContext) Topic() goka.Stream { return goka.Stream(c.record.Origin.Topic) }

func (c *callbackContext) Key() string { return c.record.Key }

func (c *callbackContext) Partition() int32 { return c.record.Origin.Partition }

func (c *callbackContext) Offset() int64 { return c.record.Origin.Offset }

func (c *callbackContext) Group() goka.Group { return c.p.Name }

// Timestamp is the time of the record, in UTC.
func (c *callbackContext) Timestamp() time.Time { return c.record.Time.Time() }

// Context ends with the task.
func (c *callbackContext) Context() context.Context { return c.p.ctx }

func (c *callbackContext) Headers() goka.Headers {
	if c.headers == nil {
		c.headers = callbackHeaders(c.record.Headers)
	}
	return c.headers
}

// Value decodes the row anew with each call: what the callback changes in it is
// the callback's until SetValue.
func (c *callbackContext) Value() any {
	return c.row(c.groupTable(), c.record.Key)
}

func (c *callbackContext) SetValue(value any, options ...goka.ContextOption) {
	table := c.groupTable()
	c.checkTableHeaders(options)
	if value == nil {
		c.Fail(errors.New("SetValue of nil; use Delete"))
	}
	data, err := table.codec.Encode(value)
	if err != nil {
		c.Fail(fmt.Errorf("value of group table %s does not encode: %w", c.p.TableTopic(), err))
	}
	rows := c.open(table)
	// A codec may hand out bytes that the callback goes on to change.
	if err := rows.Put(c.record.Key, append([]byte{}, data...)); err != nil {
		c.Fail(err)
	}
}

// Delete removes the row, and writes a tombstone also where there is none.
func (c *callbackContext) Delete(options ...goka.ContextOption) {
	table := c.groupTable()
	c.checkTableHeaders(options)
	rows := c.open(table)
	// A store leaves out the deletion of what is not there; other readers of the
	// table topic wait for the tombstone all the same.
	err := rows.Put(c.record.Key, []byte{})
	if err == nil {
		err = rows.Delete(c.record.Key)
	}
	if err != nil {
		c.Fail(err)
	}
}

func (c *callbackContext) Join(topic goka.Table) any {
	table, ok := c.p.joins[topic]
	if !ok {
		c.Fail(fmt.Errorf("Join of table %s, which is not in Group.Joins; add it there", topic))
	}
	return c.row(table, c.record.Key)
}

func (c *callbackContext) Lookup(topic goka.Table, key string) any {
	table, ok := c.p.lookups[topic]
	if !ok {
		c.Fail(fmt.Errorf("Lookup in table %s, which is not in Group.Lookups; add it there", topic))
	}
	return c.row(table, key)
}

func (c *callbackContext) groupTable() *tableOf {
	if c.p.table == nil {
		c.Fail(fmt.Errorf("group %s has no table; set Group.Persist", c.p.Name))
	}
	return c.p.table
}

func (c *callbackContext) open(t *tableOf) *state.KV[string, []byte] {
	rows, err := state.Of(c.engine, t.handle)
	if err != nil {
		c.Fail(err)
	}
	return rows
}

// row returns the decoded value of a key, nil if there is none.
func (c *callbackContext) row(t *tableOf, key string) any {
	data, ok, err := c.open(t).Get(key)
	if err != nil {
		c.Fail(err)
	}
	if !ok {
		return nil
	}
	// The row belongs to the store, what the codec makes of it to the callback.
	v, err := t.codec.Decode(bytes.Clone(data))
	if err != nil {
		c.Fail(fmt.Errorf("table %s: value of key %q does not decode: %w", t.handle.Spec().Name, key, err))
	}
	return v
}

// checkTableHeaders refuses headers that would not be written.
func (c *callbackContext) checkTableHeaders(options []goka.ContextOption) {
	if c.p.DropTableHeaders || len(headersOf(options)) == 0 {
		return
	}
	c.Fail(fmt.Errorf("headers on a record of the group table %s are not written; leave them out, or set Group.DropTableHeaders", c.p.TableTopic()))
}
