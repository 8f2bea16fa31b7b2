package gokaprocessor

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/processor"
)

// DeferCommit implements goka.Context: the record, and what the task does after
// it, is committed when all functions that were returned for it have been called.
//
// goka passes over a record whose function is never called as soon as a later one
// is finished. Here it would keep the task for ever, so that after
// Group.DeferTimeout it is an error of the record.
func (c *callbackContext) DeferCommit() func(error) {
	holder, ok := c.engine.(processor.Holder)
	var release func(error)
	if ok {
		release = holder.Hold()
	}
	if release == nil {
		c.Fail(errors.New("DeferCommit: this engine does not put off commits"))
	}
	after := cmp.Or(c.p.DeferTimeout, DefaultDeferTimeout)
	late := fmt.Errorf("a function that DeferCommit returned was not called within %v; call it, or raise Group.DeferTimeout", after)
	timer := time.AfterFunc(after, func() { release(late) })
	return func(err error) {
		timer.Stop()
		release(err)
	}
}
