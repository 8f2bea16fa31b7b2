package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/state/memdb"
	"github.com/tidemill/tidemill/state/pebbledb"
)

// The store of a task lies in state/<task>. A store that died is held by this
// process until it ends, so that its directory can neither be removed nor used
// again: its successor lies in state/<task>~1, and so on. The newest one counts,
// the others are removed when that is possible. A task id ends in a number behind
// an underscore, so these names are nobody else's.

// stateDir is one directory of a task's store.
type stateDir struct {
	path       string
	generation int
}

// newStateDir is the place of a generation, 0 being the first.
func (a *App) newStateDir(task string, generation int) stateDir {
	path := filepath.Join(a.cfg.Dir, "state", task)
	if generation > 0 {
		path += "~" + strconv.Itoa(generation)
	}
	return stateDir{path, generation}
}

// stateDirs lists the directories that a task has, the newest first.
func (a *App) stateDirs(task string) ([]stateDir, error) {
	names, err := a.cfg.FS.List(filepath.Join(a.cfg.Dir, "state"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list the state directories: %w", err)
	}
	var dirs []stateDir
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, task)
		number, behind := strings.CutPrefix(rest, "~")
		generation, err := strconv.Atoi(number)
		switch {
		case ok && rest == "":
			dirs = append(dirs, a.newStateDir(task, 0))
		case ok && behind && err == nil && generation > 0:
			dirs = append(dirs, a.newStateDir(task, generation))
		}
	}
	slices.SortFunc(dirs, func(x, y stateDir) int { return cmp.Compare(y.generation, x.generation) })
	return dirs, nil
}

// openEngine opens the store of a task.
func (a *App) openEngine(task string) (state.Engine, error) {
	if a.cfg.StateInMemory {
		return memdb.New(), nil
	}
	dirs, err := a.stateDirs(task)
	if err != nil {
		return nil, err
	}
	dir := a.newStateDir(task, 0)
	if len(dirs) > 0 {
		dir = dirs[0]
		a.removeOlder(dirs[1:])
	}
	db, err := pebbledb.Open(pebbledb.Options{
		FS: a.cfg.FS, Dir: dir.path, Shared: a.shared, MemTableBytes: memTableBytes(len(a.statuses)),
		Logger: a.cfg.Logger, Now: a.cfg.Now,
	})
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: a file of it is missing: %w", state.ErrStoreDead, err)
	}
	if err != nil {
		return nil, err // not db: a nil *DB in the interface would pass for a store
	}
	return db, nil
}

// removeOlder removes stores that were given up. One that this process still
// holds stays until the next start; it is in nobody's way.
func (a *App) removeOlder(dirs []stateDir) {
	for _, d := range dirs {
		if err := pebbledb.Destroy(a.cfg.FS, d.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			a.cfg.Logger.Info("a store that was given up cannot be removed yet", "dir", d.path, "error", err.Error())
		}
	}
}

// dropEngine makes the next openEngine return an empty store.
func (a *App) dropEngine(task string) error {
	if a.cfg.StateInMemory {
		return nil
	}
	dirs, err := a.stateDirs(task)
	if err != nil || len(dirs) == 0 {
		return err
	}
	err = pebbledb.Destroy(a.cfg.FS, dirs[0].path)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	next := a.newStateDir(task, dirs[0].generation+1)
	if made := a.makeDir(next.path); made != nil {
		return fmt.Errorf("remove %s: %w", dirs[0].path, errors.Join(err, made))
	}
	return nil
}

// makeDir makes a directory durably, so that it is the newest after a crash too.
func (a *App) makeDir(path string) error {
	if err := a.cfg.FS.MkdirAll(path, 0o700); err != nil {
		return err
	}
	parent, err := a.cfg.FS.OpenDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}
