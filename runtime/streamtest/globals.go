package streamtest

import (
	"context"

	"github.com/tidemill/tidemill/runtime/internal/globals"
	"github.com/tidemill/tidemill/state"
)

// globalEngine is where the global tables lie among the stores of the tasks, whose
// ids end in a number.
const globalEngine = "global"

// startGlobals loads the global tables, on what is durable of them, and hands them
// to the tasks.
func (d *Driver) startGlobals() error {
	specs := d.topology.Globals()
	if len(specs) == 0 {
		return nil
	}
	engine, err := d.disk.open(globalEngine)
	if err != nil {
		return err
	}
	d.globals, err = globals.Open(context.Background(), globals.Config{
		Log: d.log, Tables: specs, Partitions: d.topics.count, Engine: engine, FlushInterval: never, Now: d.Clock, Logger: d.cfg.Logger,
	})
	if err != nil {
		return err
	}
	for i := range d.tasks {
		d.tasks[i].Sub.Globals = d.globals
	}
	return d.globals.Load(context.Background())
}

func (d *Driver) stopGlobals() error {
	if d.globals == nil {
		return nil
	}
	closing := d.globals
	d.globals = nil
	return closing.Close()
}

// globalRows reads the rows of a global store, if there is one of that name.
func (d *Driver) globalRows(name string) (rows []storedRow, spec state.Spec, err error) {
	for _, g := range d.topology.Globals() {
		if g.Store.Name != name {
			continue
		}
		store, err := d.globals.GlobalStore(name)
		if err != nil {
			return nil, spec, err
		}
		rows, err = readRows(store.Rows, store.ID, g.Store, 0)
		return rows, g.Store, err
	}
	return nil, spec, nil
}
