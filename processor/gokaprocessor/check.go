package gokaprocessor

import (
	"fmt"

	"github.com/hashicorp/go-multierror"
	"github.com/lovoo/goka"

	"github.com/tidemill/tidemill/state"
)

// check returns all mistakes of the group at once.
func (g Group) check() error {
	var errs *multierror.Error
	fail := func(format string, args ...any) {
		errs = multierror.Append(errs, fmt.Errorf("group %s: "+format, append([]any{g.Name}, args...)...))
	}
	if err := state.CheckName(string(g.Name)); err != nil {
		fail("Group.Name: %v", err)
	}
	for _, in := range g.Inputs {
		if in.Codec == nil || in.Callback == nil {
			fail("input %s has no codec or no callback; set both", in.Topic)
		}
	}
	if g.Loop != nil && (g.Loop.Codec == nil || g.Loop.Callback == nil) {
		fail("the loop has no codec or no callback; set both")
	}
	for _, t := range append(append([]Table(nil), g.Joins...), g.Lookups...) {
		if t.Topic == "" || t.Codec == nil {
			fail("table %q has no name or no codec; set both", t.Topic)
		}
	}
	for _, o := range g.Outputs {
		if o.Topic == "" || o.Codec == nil {
			fail("output %q has no name or no codec; set both", o.Topic)
		}
	}
	if g.NilHandling < goka.NilIgnore || g.NilHandling > goka.NilDecode {
		fail("NilHandling is %d; use goka.NilIgnore, NilProcess or NilDecode", g.NilHandling)
	}
	if g.DeferTimeout < 0 {
		fail("DeferTimeout is negative (%v); use 0 for the default", g.DeferTimeout)
	}
	if err := g.checkGraph(); err != nil {
		fail("%v", err)
	}
	if err := g.checkTopics(); err != nil {
		fail("%v", err)
	}
	if err := optionsReadable(); err != nil {
		fail("%v", err)
	}
	return errs.ErrorOrNil()
}

// checkGraph asks goka. It panics where an input has no name or is there twice.
func (g Group) checkGraph() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return g.graph().Validate()
}

// checkTopics finds topics that are declared twice in the same role, or in roles
// that a topology keeps apart.
func (g Group) checkTopics() error {
	role := map[string]string{}
	add := func(topic, as string) error {
		if other, taken := role[topic]; taken {
			return fmt.Errorf("topic %s is declared as %s and as %s; declare it once", topic, other, as)
		}
		role[topic] = as
		return nil
	}
	for _, in := range g.Inputs {
		if err := add(string(in.Topic), "an input"); err != nil {
			return err
		}
	}
	for _, t := range g.Joins {
		if err := add(string(t.Topic), "a joined table"); err != nil {
			return err
		}
	}
	for _, t := range g.Lookups {
		if err := add(string(t.Topic), "a lookup table"); err != nil {
			return err
		}
	}
	outputs := map[goka.Stream]bool{} // an output may be read by the group too
	for _, o := range g.Outputs {
		if outputs[o.Topic] {
			return fmt.Errorf("output %s is declared twice; declare it once", o.Topic)
		}
		outputs[o.Topic] = true
	}
	return nil
}
