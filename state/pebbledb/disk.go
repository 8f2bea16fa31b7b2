package pebbledb

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// strictFS keeps the order in which names become durable, and makes a failed
// directory sync end the store. Pebble panics on one
// when it moves its manifest marker, on its flush goroutine, which would take
// the process down; in other places it retries, and a second fsync that answers
// nil proves nothing.
type strictFS struct {
	vfs.FS
	db *DB
}

// Unwrap returns the file system below.
func (s strictFS) Unwrap() vfs.FS { return s.FS }

// OpenDir opens a directory for syncing.
func (s strictFS) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return strictDir{File: f, db: s.db, name: name}, nil
}

type strictDir struct {
	vfs.File
	db   *DB
	name string
}

// Sync syncs the directory, or does not return: see endFatal.
func (f strictDir) Sync() error {
	f.db.endIfUnsynced(f.name, f.File.Sync())
	return nil
}

func (d *DB) endIfUnsynced(dir string, err error) {
	if err != nil {
		d.markDead(fmt.Errorf("sync of directory %s: %w", dir, err))
		d.endFatal()
	}
}

// Pebble moves to a new manifest by creating a marker file that names it and
// removing the old marker, with one directory sync at the end. Names may reach
// the disk in any order: after a power loss the marker may name a manifest that
// is not there, or there may be no marker at all, which opens as an empty store.
// So what came before is synced before each of the two steps. It happens once an
// open and once in 128 MiB of manifest.
const markerPrefix = "marker."

// Create makes the names of the files that a marker may point to durable first.
func (s strictFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	s.syncBeforeMarker(name)
	return s.FS.Create(name, category)
}

// Remove makes the new marker durable before the old one goes.
func (s strictFS) Remove(name string) error {
	s.syncBeforeMarker(name)
	return s.FS.Remove(name)
}

func (s strictFS) syncBeforeMarker(name string) {
	if strings.HasPrefix(s.PathBase(name), markerPrefix) {
		dir := s.PathDir(name)
		s.db.endIfUnsynced(dir, syncDir(s.FS, dir))
	}
}
