package gokaprocessor

import (
	"cmp"
	"context"
	"fmt"

	"github.com/lovoo/goka"

	"github.com/tidemill/tidemill/processor"
)

// groupProcessor is a group in one task.
type groupProcessor struct {
	*definition
	ctx    context.Context
	cancel context.CancelFunc
}

func newGroupProcessor(d *definition) *groupProcessor {
	p := &groupProcessor{definition: d}
	p.ctx, p.cancel = context.WithCancel(cmp.Or[context.Context](d.BaseContext, context.Background()))
	return p
}

// Close ends what callbacks have started with their context.
func (p *groupProcessor) Close() error {
	p.cancel()
	return nil
}

// Process calls the callback of the record's topic. Its error is that of the
// record, so that nothing the callback has done is kept.
func (p *groupProcessor) Process(ctx processor.Context[string, emission], r processor.Record[string, Value]) (err error) {
	if !r.Value.OK && p.NilHandling == goka.NilIgnore {
		return nil
	}
	callback := p.inputs[r.Origin.Topic]
	if callback == nil {
		return fmt.Errorf("group %s has no callback for topic %q", p.Name, r.Origin.Topic)
	}
	// A context of its own for every record: users keep it in goroutines although
	// goka forbids that, and must not read another record's key there.
	c := &callbackContext{p: p, engine: ctx, record: r}
	defer c.recovered(&err)
	if p.ContextWrapper != nil {
		callback(p.ContextWrapper(c), r.Value.Value)
	} else {
		callback(c, r.Value.Value)
	}
	return c.failure()
}
