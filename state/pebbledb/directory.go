package pebbledb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	dirMode = 0o700 // state is user data
	// lockSuffix names the lock beside the directory. Pebble's own lies inside,
	// where whoever empties the directory deletes it, and a second process gets
	// in. The file itself is never deleted, for the same reason.
	lockSuffix = ".lock"
	// goneSuffix names a directory that is being destroyed.
	goneSuffix = ".destroyed"
)

// prepareDir creates dir, locks it, and finishes a Destroy that was cut short.
func prepareDir(disk vfs.FS, dir string) (lock io.Closer, err error) {
	if err := mkdirDurable(disk, disk.PathDir(dir)); err != nil {
		return nil, err
	}
	lock, err = lockDir(disk, dir)
	if err != nil {
		return nil, err
	}
	if err = removeGone(disk, dir); err == nil {
		err = mkdirDurable(disk, dir)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

func lockDir(disk vfs.FS, dir string) (io.Closer, error) {
	lock, err := disk.Lock(dir + lockSuffix)
	if err != nil {
		return nil, fmt.Errorf("state store %s: lock %s%s (is it open already, or dead in this process?): %w", dir, dir, lockSuffix, err)
	}
	return lock, nil
}

// mkdirDurable creates dir and its missing parents, and syncs the parent of each:
// Pebble syncs what is in its directory, but not the directory's own name, so a
// power loss would take a flushed store away.
func mkdirDurable(disk vfs.FS, dir string) error {
	if found, err := exists(disk, dir); found || err != nil {
		return err
	}
	parent := disk.PathDir(dir)
	if parent == dir {
		return fmt.Errorf("state directory %s: no parent exists", dir)
	}
	if err := mkdirDurable(disk, parent); err != nil {
		return err
	}
	if err := disk.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("state directory %s: %w", dir, err)
	}
	return syncDir(disk, parent)
}

func exists(disk vfs.FS, dir string) (bool, error) {
	_, err := disk.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("state directory %s: %w", dir, err)
	}
	return true, nil
}

func syncDir(disk vfs.FS, dir string) error {
	f, err := disk.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

func removeGone(disk vfs.FS, dir string) error {
	gone := dir + goneSuffix
	if found, err := exists(disk, gone); !found || err != nil {
		return err
	}
	if err := disk.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove destroyed state store %s: %w", gone, err)
	}
	return nil
}

// Destroy removes the store in dir; a nil disk means vfs.Default. It fails if the
// store is open, or dead in this process. No store is no error.
//
// A store that lost some of its files could open as a shorter, wrong one. So
// the directory is renamed first, durably, which is one step: after a crash
// there is the whole store or none, and Open removes the rest.
func Destroy(disk vfs.FS, dir string) (err error) {
	if disk == nil {
		disk = vfs.Default
	}
	parent := disk.PathDir(dir)
	if found, err := exists(disk, parent); !found || err != nil {
		return err
	}
	lock, err := lockDir(disk, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := removeGone(disk, dir); err != nil {
		return err
	}
	if found, err := exists(disk, dir); !found || err != nil {
		return err
	}
	if err := disk.Rename(dir, dir+goneSuffix); err != nil {
		return fmt.Errorf("destroy state store %s: %w", dir, err)
	}
	if err := syncDir(disk, parent); err != nil {
		return err
	}
	return removeGone(disk, dir)
}
