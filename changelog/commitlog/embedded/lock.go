package embedded

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	lockFile   = "LOCK"
	holderFile = "LOCK.holder"
)

// lockDir takes the directory for this process. The lock itself belongs to the
// process and ends with it, however it ends. Who holds it is told by a file
// beside it, which is read only while the lock is held by somebody: what a
// killed process left there is replaced by the next holder and never believed
// before.
func lockDir(o *Options) (io.Closer, error) {
	lock, err := o.FS.Lock(o.FS.PathJoin(o.Dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("directory %s is in use%s, stop that process or choose another directory: %w", o.Dir, holder(o), err)
	}
	if err := writeHolder(o); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// writeHolder removes the old claim first, so that between the two steps nobody
// is named rather than the wrong one.
func writeHolder(o *Options) error {
	if err := removeFile(o.FS, o.FS.PathJoin(o.Dir, holderFile)); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed host"
	}
	text := fmt.Sprintf("process %d on %s since %s\n", os.Getpid(), host, o.Now().UTC().Format(time.RFC3339))
	return writeFile(o.FS, o.Dir, holderFile, []byte(text))
}

func holder(o *Options) string {
	text, ok, err := readFile(o.FS, o.FS.PathJoin(o.Dir, holderFile))
	if err != nil || !ok {
		return ""
	}
	return " by " + strings.TrimSpace(string(text))
}
