package topology

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/state"
)

// Process runs a hand-written processor, one per task, made by create. name is
// durable: the due times of its punctuations are kept under it. The stores are
// those that the processor may use; several processors of one sub-topology may
// share a store. The store of a table, or of a global table declared before, may
// be read: what a record has changed in a table is seen by the processors that
// are declared behind the table. The result counts as re-keyed.
func Process[KI, VI, KO, VO any](s *Stream[KI, VI], name string,
	create func() processor.Processor[KI, VI, KO, VO], stores ...state.Handle) *Stream[KO, VO] {
	n := s.b.add(kindProcess, s.n)
	n.name, n.process = name, name
	if err := state.CheckName(name); err != nil {
		s.b.fail("process", "%v; give Process a valid name", err)
	}
	for _, other := range s.b.nodes[:n.id] {
		if other.kind == kindProcess && other.process == name {
			s.b.fail(name, "two processors have this name; it identifies their punctuations, so give each its own")
		}
	}
	if create == nil {
		s.b.fail(name, "its function is nil; pass one that makes a processor")
	}
	for _, h := range stores {
		spec := h.Spec()
		if s.b.readsGlobal(n, h) {
			continue
		}
		if (spec.Kind == state.KindWindow || spec.Kind == state.KindSession) && spec.Retention == 0 {
			spec.Retention = state.DefaultWindowRetention
		}
		s.b.store(n, h, spec, true)
		n.detail = append(n.detail, "store", spec.Name)
	}
	n.wire = func(w *wirer) any { return wireProcess(w, n, create) }
	out := &Stream[KO, VO]{b: s.b, n: n, streamFacts: s.streamFacts}
	return out.markRekeyed()
}

func wireProcess[KI, VI, KO, VO any](w *wirer, n *node, create func() processor.Processor[KI, VI, KO, VO]) any {
	inst := w.instance
	ctx := &processContext[KO, VO]{taskContext: taskContext{inst: inst, n: n}, next: below[KO, VO](w, n)}
	for _, name := range n.stores {
		if err := w.openShared(name); err != nil {
			w.fail(&NodeError{Node: n.name, Err: err})
			return emit[KI, VI](nil)
		}
	}
	for _, name := range n.globals {
		if err := w.openGlobal(name); err != nil {
			w.fail(&NodeError{Node: n.name, Err: err})
			return emit[KI, VI](nil)
		}
	}
	inst.at = n
	p := create()
	if p == nil {
		w.fail(&NodeError{Node: n.name, Err: fmt.Errorf("its function returned a nil processor")})
		return emit[KI, VI](nil)
	}
	if c, ok := p.(io.Closer); ok {
		inst.userClosers = append(inst.userClosers, userCloser{n, c})
	}
	inst.inits = append(inst.inits, initializer{n.id, func() error {
		i, ok := p.(processor.Initer[KO, VO])
		if !ok {
			return nil
		}
		inst.at, ctx.initialising = n, true
		defer func() { ctx.initialising = false }()
		return ctx.wrap(i.Init(ctx))
	}})
	return emit[KI, VI](func(r processor.Record[KI, VI]) error {
		inst.at, ctx.origin = n, r.Origin
		return ctx.wrap(p.Process(ctx, r))
	})
}

// taskContext is the untyped part of a processor's context.
type taskContext struct {
	inst   *Instance
	n      *node
	origin processor.Origin // of the record at hand
}

func (c *taskContext) StreamTime() processor.Timestamp { return c.inst.streamTime }
func (c *taskContext) Partition() int32                { return c.inst.env.Partition }
func (c *taskContext) RequestCommit()                  { c.inst.commitRequested = true }

func (c *taskContext) Store(name string) (any, error) {
	if slices.Contains(c.n.globals, name) {
		return state.Access{Cells: c.inst.globals[name], Now: c.inst.recordTime, Owner: name}, nil
	}
	if !slices.Contains(c.n.stores, name) {
		return nil, fmt.Errorf("processor %s has no store %s; pass its handle to Process", c.n.name, name)
	}
	return state.Access{Cells: c.inst.storeByName[name], Now: c.inst.recordTime, Owner: c.inst.env.ownerOf(name)}, nil
}

// wrap names the node in an error of the processor itself; errors from below
// already name theirs.
func (c *taskContext) wrap(err error) error {
	if err == nil {
		return nil
	}
	switch err.(type) {
	case *NodeError, *BufferFullError:
		return err
	}
	return &NodeError{Node: c.n.name, Err: err}
}

type processContext[K, V any] struct {
	taskContext
	next         emit[K, V]
	initialising bool
}

func (c *processContext[K, V]) Forward(r processor.Record[K, V]) error {
	if r.Time < 0 {
		return &NodeError{Node: c.n.name, Err: fmt.Errorf("it forwarded a record with the negative time %d", int64(r.Time))}
	}
	err := c.next(r)
	c.inst.at = c.n
	return err
}

func (c *processContext[K, V]) Schedule(name string, interval time.Duration, clock processor.Clock,
	punctuate func(processor.Context[K, V], processor.Timestamp) error) error {
	if !c.initialising {
		return fmt.Errorf("Schedule %q: it may only be called from Init", name)
	}
	if interval < time.Millisecond || interval%time.Millisecond != 0 {
		return fmt.Errorf("Schedule %q: interval %v must be a positive number of whole milliseconds", name, interval)
	}
	return c.inst.schedule(&punctuation{
		id: c.n.process + "/" + name, clock: clock, interval: interval.Milliseconds(),
		run: func(t processor.Timestamp) error {
			c.inst.at = c.n
			return c.wrap(punctuate(c, t))
		},
	})
}
