package embedded

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/commitlogtest"
)

// crashHarness runs the kit on a disk that loses whatever was not synced.
func crashHarness(options func(fs vfs.FS) Options) commitlogtest.Harness {
	disks := map[commitlog.Log]*vfs.MemFS{}
	open := func(fs *vfs.MemFS) (commitlog.Log, error) {
		l, err := Open(options(fs))
		if err != nil {
			return nil, err
		}
		disks[l] = fs
		return l, nil
	}
	return commitlogtest.Harness{
		Missing: []commitlogtest.Feature{commitlogtest.FeatureCompaction, commitlogtest.FeatureRetention,
			commitlogtest.FeatureTrim, commitlogtest.FeatureServerRestart},
		Open: func() (commitlog.Log, error) { return open(vfs.NewCrashableMem()) },
		Reopen: func(l commitlog.Log, crash bool) (commitlog.Log, error) {
			fs := disks[l]
			clone := fs.CrashClone(vfs.CrashCloneCfg{})
			if err := l.Close(); err != nil {
				return nil, err
			}
			if crash {
				fs = clone
			}
			return open(fs)
		},
	}
}

func TestConformance(t *testing.T) {
	t.Run("defaults", func(t *testing.T) {
		commitlogtest.Run(t, crashHarness(func(fs vfs.FS) Options { return Options{FS: fs, Dir: "log"} }))
	})
	t.Run("small", func(t *testing.T) {
		commitlogtest.Run(t, crashHarness(small))
	})
	t.Run("disk", func(t *testing.T) {
		h := crashHarness(func(vfs.FS) Options { return Options{Dir: t.TempDir()} })
		h.Missing = append(h.Missing, commitlogtest.FeatureReopen, commitlogtest.FeatureCrash)
		commitlogtest.Run(t, h)
	})
}
