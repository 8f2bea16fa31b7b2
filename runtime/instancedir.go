package runtime

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/state"
)

// The directory of a process holds its stores and, on a log that is elsewhere, its
// name: what comes back with the directory gets the tasks that the stores are of.
const (
	dirLockFile  = "LOCK"
	instanceFile = "instance"
)

// lockDir takes the directory for this process. The embedded log locks its own.
func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make Config.Dir: %w", err)
	}
	lock, err := fs.Lock(fs.PathJoin(dir, dirLockFile))
	if err != nil {
		return nil, fmt.Errorf("directory %s is in use by another process or App: stop that, or give this one a Config.Dir of its own: %w", dir, err)
	}
	return lock, nil
}

// loadInstance returns the instance id that is kept in a directory, and makes one
// the first time. The directory is locked.
func loadInstance(fs vfs.FS, dir string) (string, error) {
	path := fs.PathJoin(dir, instanceFile)
	id, err := readInstance(fs, path)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return id, err
	}
	id = strings.ToLower(rand.Text()[:12])
	if err := writeInstance(fs, dir, path, id); err != nil {
		return "", fmt.Errorf("keep the instance id in %s: %w", path, err)
	}
	return id, nil
}

func readInstance(fs vfs.FS, path string) (string, error) {
	f, err := fs.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return "", fmt.Errorf("read the instance id: %w", err)
	}
	id := strings.TrimSpace(string(raw))
	if err := state.CheckName(id); err != nil {
		return "", fmt.Errorf("the instance id in %s is damaged (%w): set Config.Instance, or remove the file to get a new one", path, err)
	}
	return id, nil
}

// writeInstance makes the file under another name first: half of an id would be
// another id.
func writeInstance(fs vfs.FS, dir, path, id string) error {
	f, err := fs.Create(path+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, id+"\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(path+".tmp", path); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
