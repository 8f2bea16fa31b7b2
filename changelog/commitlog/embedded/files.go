package embedded

import (
	"fmt"
	"io"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const writeCategory = vfs.WriteCategoryUnspecified

// makeDir creates dir and what is missing above it. A new directory is on disk
// only when the one above it has been synced, so that is done for each.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil || !oserror.IsNotExist(err) {
		return wrapf(err, "look at directory %s", dir)
	}
	parent := fs.PathDir(dir)
	if parent != dir && parent != "." && parent != "" {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create directory %s: %w", dir, err)
	}
	return syncDir(fs, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	if dir == "" {
		dir = "."
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open directory %s: %w", dir, err)
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return wrapf(err, "sync directory %s", dir)
}

// writeFile replaces dir/name so that a crash leaves the old or the new content.
func writeFile(fs vfs.FS, dir, name string, content []byte) error {
	temp := fs.PathJoin(dir, name+".tmp")
	if err := writeAndSync(fs, temp, content); err != nil {
		return err
	}
	if err := fs.Rename(temp, fs.PathJoin(dir, name)); err != nil {
		return fmt.Errorf("rename %s: %w", temp, err)
	}
	return syncDir(fs, dir)
}

func writeAndSync(fs vfs.FS, path string, content []byte) error {
	f, err := fs.Create(path, writeCategory)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return wrapf(err, "write %s", path)
}

// readFile returns a whole file; ok is false if there is none.
func readFile(fs vfs.FS, path string) (content []byte, ok bool, err error) {
	f, err := fs.Open(path)
	if oserror.IsNotExist(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("open %s: %w", path, err)
	}
	content, err = io.ReadAll(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return content, err == nil, wrapf(err, "read %s", path)
}

// removeFile removes a file that may be gone already.
func removeFile(fs vfs.FS, path string) error {
	if err := fs.Remove(path); err != nil && !oserror.IsNotExist(err) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// listDir returns the names in dir, none if dir does not exist.
func listDir(fs vfs.FS, dir string) ([]string, error) {
	names, err := fs.List(dir)
	if oserror.IsNotExist(err) {
		return nil, nil
	}
	return names, wrapf(err, "list %s", dir)
}

// wrapf adds what was being done to an error and keeps nil as it is.
func wrapf(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
