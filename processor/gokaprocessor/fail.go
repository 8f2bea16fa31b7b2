package gokaprocessor

import "errors"

// failed is the panic by which Fail leaves a callback. It belongs to one context,
// so that it is told from all panics of users.
type failed struct{ c *callbackContext }

var errNoReason = errors.New("the callback failed without giving an error")

// Fail implements goka.Context: the callback ends here, and nothing that it has
// done is kept.
func (c *callbackContext) Fail(err error) {
	if err == nil {
		err = errNoReason
	}
	if c.err == nil {
		c.err = err
	}
	panic(failed{c})
}

// recovered ends the way of a Fail. Other panics go on: the engine tells them with
// their stack.
func (c *callbackContext) recovered(err *error) {
	if c.err == nil {
		return
	}
	if p := recover(); p != nil {
		if f, ok := p.(failed); !ok || f.c != c {
			panic(p)
		}
	}
	*err = c.failure()
}

// failure is the error of the record, also where the callback has recovered from
// the panic of Fail: what it did before is not to be kept.
func (c *callbackContext) failure() error { return c.err }
