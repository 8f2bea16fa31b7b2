package gokaprocessor

import (
	"errors"
	"fmt"

	"github.com/lovoo/goka"

	"github.com/tidemill/tidemill/processor"
)

// Emit implements goka.Context. The record becomes visible with the commit. It has
// the time of the record at hand.
func (c *callbackContext) Emit(topic goka.Stream, key string, value any, options ...goka.ContextOption) {
	out, declared := c.p.outputs[topic]
	if !declared {
		c.Fail(c.notAnOutput(topic))
	}
	var emitted Value
	if value != nil {
		emitted = c.encode(out.codec, string(topic), value)
	}
	c.forward(out.number, key, emitted, options)
}

func (c *callbackContext) notAnOutput(topic goka.Stream) error {
	switch string(topic) {
	case "":
		return errors.New("Emit to a topic without a name")
	case c.p.loop:
		return fmt.Errorf("Emit to the loop %s; use Loopback", topic)
	case c.p.TableTopic():
		return fmt.Errorf("Emit to the group table %s; use SetValue", topic)
	}
	return fmt.Errorf("Emit to topic %s, which is not in Group.Outputs; add it there", topic)
}

// Loopback implements goka.Context. Unlike Emit it gives the codec nil too.
func (c *callbackContext) Loopback(key string, value any, options ...goka.ContextOption) {
	if c.p.Loop == nil {
		c.Fail(fmt.Errorf("group %s has no loop; set Group.Loop", c.p.Name))
	}
	c.forward(loopNumber, key, c.encode(c.p.Loop.Codec, c.p.loop, value), options)
}

// encode returns the absent value if the codec returns no bytes, as goka sends
// null then.
func (c *callbackContext) encode(codec goka.Codec, topic string, value any) Value {
	data, err := codec.Encode(value)
	if err != nil {
		c.Fail(fmt.Errorf("value for topic %s does not encode: %w", topic, err))
	}
	if data == nil {
		return Value{}
	}
	return processor.Some[any](encoded(data))
}

func (c *callbackContext) forward(to int, key string, v Value, options []goka.ContextOption) {
	r := processor.WithKey(c.record, key, emission{to, v})
	r.Headers = recordHeaders(c.p.DefaultHeaders.Merged(headersOf(options)))
	if err := c.engine.Forward(r); err != nil {
		c.Fail(err)
	}
}
