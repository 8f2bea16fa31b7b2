package kafkatest

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// CacheEnv is the environment variable that names the directory in which the jars
// of all versions are kept. Default: tidemill-kafka in the user's cache directory.
const CacheEnv = "TIDEMILL_KAFKA_CACHE"

// workPrefix begins the names of directories in which a download goes on.
const workPrefix = "fetch-"

//go:embed pom.xml
var pom []byte

func cacheDir() (string, error) {
	dir := os.Getenv(CacheEnv)
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("where to keep the jars of Kafka: %w; set %s", err, CacheEnv)
		}
		dir = filepath.Join(user, "tidemill-kafka")
	}
	return filepath.Abs(dir)
}

// jars is the folder of all jars of one version. It appears in the cache by a
// rename when it is whole: a folder that is there is complete.
type jars struct {
	cache, dir, version string
}

// jarsIn names the folder. Its name changes with the list of jars, so that an
// older cache is not taken for a complete one.
func jarsIn(cache, version string) jars {
	name := fmt.Sprintf("kafka-%s-%x", version, sha256.Sum256(pom))
	return jars{cache, filepath.Join(cache, name[:len("kafka-")+len(version)+9]), version}
}

func (j jars) complete() bool {
	info, err := os.Stat(j.dir)
	return err == nil && info.IsDir()
}

// fetch lets Maven copy the jars. Only one process at a time does so: Maven's own
// repository does not bear two at once.
func (j jars) fetch(ctx context.Context, maven string) (err error) {
	if err := os.MkdirAll(j.cache, 0o755); err != nil {
		return fmt.Errorf("cache of Kafka's jars: %w; set %s to another directory", err, CacheEnv)
	}
	unlock, err := lockFile(ctx, filepath.Join(j.cache, "lock"))
	if err != nil {
		return fmt.Errorf("wait until another process has fetched Kafka: %w", err)
	}
	defer func() { err = errors.Join(err, unlock.Close()) }()
	if j.complete() {
		return nil
	}
	if err := j.removeHalves(); err != nil {
		return err
	}
	work, err := os.MkdirTemp(j.cache, workPrefix)
	if err != nil {
		return fmt.Errorf("cache of Kafka's jars: %w; set %s to another directory", err, CacheEnv)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := j.copyInto(ctx, maven, work); err != nil {
		return fmt.Errorf("fetch Kafka %s: %w", j.version, err)
	}
	return os.Rename(filepath.Join(work, "lib"), j.dir)
}

// removeHalves removes what a killed process has left of a download. The lock is
// held: nobody works there now.
func (j jars) removeHalves() error {
	halves, err := filepath.Glob(filepath.Join(j.cache, workPrefix+"*"))
	for _, half := range halves {
		err = errors.Join(err, os.RemoveAll(half))
	}
	return err
}

func (j jars) copyInto(ctx context.Context, maven, work string) error {
	project := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(project, pom, 0o644); err != nil {
		return err
	}
	lib := filepath.Join(work, "lib")
	cmd := exec.CommandContext(ctx, maven, "-q", "-B", "-f", project, "-Dkafka.version="+j.version,
		"dependency:copy-dependencies", "-DoutputDirectory="+lib, "-DincludeScope=runtime")
	cmd.SysProcAttr = childAttributes()
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w:\n%s", cmd, errors.Join(ctx.Err(), err), lastLines(out, 20))
	}
	for _, name := range []string{"kafka_2.13", "kafka-tools", "kafka-streams"} {
		if _, err := os.Stat(filepath.Join(lib, name+"-"+j.version+".jar")); err != nil {
			return fmt.Errorf("%s ended well and brought no %s: %w", maven, name, err)
		}
	}
	return nil
}

// lockFile waits until this process alone has the lock of a file. The system ends
// the lock with the process.
func lockFile(ctx context.Context, path string) (io.Closer, error) {
	for {
		unlock, err := vfs.Default.Lock(path)
		// A held lock is "try again" or "held", never "permission denied".
		if err == nil || errors.Is(err, fs.ErrPermission) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w, %s is locked: %w", ctx.Err(), path, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
