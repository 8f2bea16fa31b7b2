package topology

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// Class says what kind of record error it is, as dead letters and metrics show
// it.
type Class string

const (
	// ClassProcess: a processor returned an error.
	ClassProcess Class = "process"
	// ClassDecode: bytes from the log did not decode. The record had no effect.
	ClassDecode Class = "decode"
	// ClassEncode: a key or value did not encode.
	ClassEncode Class = "encode"
	// ClassPanic: user code panicked.
	ClassPanic Class = "panic"
)

// NodeError is an error in a node while it worked on a record.
type NodeError struct {
	Node  string
	Class Class  // "" is ClassProcess
	Stack []byte // of a panic
	Err   error
}

func (e *NodeError) Error() string { return fmt.Sprintf("node %s: %v", e.Node, e.Err) }

// Unwrap returns the cause.
func (e *NodeError) Unwrap() error { return e.Err }

func newPanicError(at *node, p any) *NodeError {
	name := "(unknown)"
	if at != nil {
		name = at.name
	}
	err, ok := p.(error)
	if !ok {
		err = fmt.Errorf("%v", p)
	}
	return &NodeError{Node: name, Class: ClassPanic, Stack: debug.Stack(), Err: fmt.Errorf("panic: %w", err)}
}

// RowFailure is an error that belongs to no input record but to an emitted row or
// to a punctuation.
type RowFailure struct {
	Err *NodeError
	// Key, Start and Time are those of the row; Key is nil for a punctuation. Key is
	// never written to again.
	Key         []byte
	Start, Time int64
}

// tolerate runs emission of a row or a punctuation so that its failure, or panic,
// is that row's alone. Without RowFailed it only runs it.
func (i *Instance) tolerate(f RowFailure, run func() error) error {
	if i.env.RowFailed == nil {
		return run()
	}
	err := i.guarded(run)
	if err == nil {
		return nil
	}
	if !errors.As(err, &f.Err) {
		return err
	}
	i.env.RowFailed(f)
	return nil
}

func (i *Instance) guarded(run func() error) (err error) {
	defer i.recovered(&err)
	return run()
}
