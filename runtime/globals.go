package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/runtime/internal/globals"
)

// globalEngine names the store of all global tables among those of the tasks,
// whose names end in a partition number.
const globalEngine = "global"

// startGlobals loads the global tables to the end that their topics have now, so
// that no task sees less, and follows them from there until ctx ends. Reading that
// fails stops the application: tasks would go on with rows that grow old. stop
// waits for the end and closes the rows; it comes after the last task has ended.
func (a *App) startGlobals(ctx context.Context, fail func(error)) (stop func() error, err error) {
	if len(a.topology.Globals()) == 0 {
		return func() error { return nil }, nil
	}
	engine, err := a.openEngine(globalEngine)
	if err != nil {
		return nil, fmt.Errorf("global tables: %w", err)
	}
	tables, err := globals.Open(ctx, globals.Config{
		Log: a.log, Tables: a.topology.Globals(), Partitions: func(topic string) int32 { return a.partitions[topic] },
		Engine: engine, Undecodable: a.globalPoison(), FlushInterval: a.cfg.FlushInterval, Now: a.cfg.Now, Logger: a.cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	if err := tables.Load(ctx); err != nil {
		return nil, errors.Join(err, tables.Close())
	}
	a.globals = tables
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		if err := tables.Follow(ctx); err != nil && ctx.Err() == nil {
			fail(err)
		}
	}()
	return func() error {
		<-followed
		return tables.Close()
	}, nil
}

// globalPoison is the poison policy for records of global tables. There is no task
// whose commit could carry a dead letter, so they are logged and left out.
func (a *App) globalPoison() func(*globals.RecordError) error {
	if a.cfg.Poison == PoisonFail {
		return nil
	}
	return func(e *globals.RecordError) error {
		a.cfg.Logger.Warn("left out of a global table by the poison policy", "store", e.Store, "record",
			fmt.Sprintf("%s offset %d", e.TopicPartition, e.Offset), "error", e.Err.Error())
		return nil
	}
}
