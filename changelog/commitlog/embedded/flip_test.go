package embedded

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func openTopic(l *Log, name string, partitions int32, id string) (commitlog.Writer, error) {
	if err := l.CreateTopic(ctx, commitlog.TopicConfig{Name: name, Partitions: partitions}); err != nil {
		return nil, err
	}
	return l.OpenWriter(ctx, id)
}

func commitValue(w commitlog.Writer, at commitlog.TopicPartition, value string) error {
	if err := w.Begin(); err != nil {
		return err
	}
	if err := w.Append(at, batchOf(value)); err != nil {
		return err
	}
	_, err := w.Commit(ctx)
	return err
}

// namesFile reports whether the error says which file is damaged.
func namesFile(err error, path string) bool {
	return strings.Contains(err.Error(), path[strings.LastIndex(path, "/")+1:])
}

// flipDisk is a disk with a log on it, and what its partitions must hold.
type flipDisk struct {
	disk  *vfs.MemFS
	files map[string]int64
	names []string
	want  [2][]string
	clean bool
	tail  [2]int // values that only the last journal entry holds
}

func newFlipDisk(t *testing.T, clean bool) *flipDisk {
	disk := vfs.NewCrashableMem()
	o := Options{FS: disk, Dir: "log", Logger: quiet, JournalBytes: 24 << 10, SegmentBytes: 6 << 10, TailBytes: 8 << 10}
	l := mustOpen(t, o)
	w, err := openTopic(l, "a", 2, "w")
	if err != nil {
		t.Fatal(err)
	}
	d := &flipDisk{clean: clean, files: map[string]int64{}}
	for i := range 120 {
		p := i % 2
		value := fmt.Sprintf("%d-%0*d", i, 10*(i%60), 0)
		if err := commitValue(w, tp("a", int32(p)), value); err != nil {
			t.Fatal(err)
		}
		d.want[p] = append(d.want[p], value)
		d.tail = [2]int{}
		d.tail[p] = 1
	}
	if !clean {
		d.disk = disk.CrashClone(vfs.CrashCloneCfg{})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if clean {
		d.disk, d.tail = disk.CrashClone(vfs.CrashCloneCfg{}), [2]int{}
	}
	d.list(t, "log")
	slices.Sort(d.names)
	return d
}

func (d *flipDisk) list(t *testing.T, dir string) {
	names, err := d.disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := dir + "/" + name
		info, err := d.disk.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			d.list(t, path)
		} else if info.Size() > 0 {
			d.names, d.files[path] = append(d.names, path), info.Size()
		}
	}
}

// flip returns a copy of the disk with one bit of one file turned over.
func (d *flipDisk) flip(path string, at int64, bit int) (vfs.FS, error) {
	fs := d.disk.CrashClone(vfs.CrashCloneCfg{})
	content, _, err := readFile(fs, path)
	if err != nil {
		return nil, err
	}
	content[at] ^= 1 << bit
	return fs, writeAndSync(fs, path, content)
}

// judge opens the disk. Each partition must hold what was acknowledged, or fail
// with an error that names the file; at the end the last entry of the journal
// may be missing if nothing could prove that it was there.
func (d *flipDisk) judge(fs vfs.FS, path string) (v verdict, refused bool) {
	v.acked = len(d.want[0]) + len(d.want[1])
	l, err := Open(Options{FS: fs, Dir: "log", Logger: quiet, TailBytes: 8 << 10})
	if err != nil {
		if !namesFile(err, path) && !strings.Contains(err.Error(), "format") {
			v.wrong++
			v.note("the error does not name the file: %v", err)
		}
		return v, true
	}
	defer l.Close()
	damagedPartitions := 0
	for p, want := range d.want {
		got, err := readAll(l, tp("a", int32(p)), 0)
		if n := min(len(got), len(want)); !slices.Equal(got[:n], want[:n]) || len(got) > len(want) {
			v.wrong++
			v.note("partition %d serves other values", p)
		}
		switch {
		case err != nil:
			damagedPartitions++
			if !errors.Is(err, commitlog.ErrCorrupt) || !namesFile(err, path) {
				v.wrong++
				v.note("partition %d: %v", p, err)
			}
		case len(got) < len(want)-d.tail[p]:
			v.lost += len(want) - len(got)
			v.note("partition %d: %d of %d values and no error", p, len(got), len(want))
		}
	}
	if damagedPartitions > 1 {
		v.wrong++
		v.note("one bit stopped %d partitions", damagedPartitions)
	}
	return v, damagedPartitions > 0
}

func TestFlippedBits(t *testing.T) {
	flips := 1000
	if long {
		flips = 10_000
	}
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("clean=", clean), func(t *testing.T) {
			const seed = 5
			d := newFlipDisk(t, clean)
			rng := rand.New(rand.NewPCG(seed, 0))
			var total verdict
			noticed := 0
			for i := range flips / 2 {
				path := d.names[rng.IntN(len(d.names))]
				at, bit := rng.Int64N(d.files[path]), rng.IntN(8)
				fs, err := d.flip(path, at, bit)
				if err != nil {
					t.Fatal(err)
				}
				v, refused := d.judge(fs, path)
				if v.bad() {
					t.Fatalf("flip %d: bit %d of byte %d of %s (%d bytes): %s\n%s", i, bit, at, path, d.files[path], v.line("flip", seed), strings.Join(v.notes, "\n"))
				}
				if refused {
					noticed++
				}
				total.add(v)
			}
			t.Log(total.line("flipped bits", seed), "noticed", noticed, "of", flips/2)
			// The control: if no flip mattered, the test looked at nothing.
			if noticed < flips/20 {
				t.Errorf("only %d of %d flips were noticed", noticed, flips/2)
			}
		})
	}
}

// TestFlipControl shows that the judge sees a wrong value: batches are read back
// with a valid checksum over changed bytes.
func TestFlipControl(t *testing.T) {
	d := newFlipDisk(t, true)
	d.want[1][7] = "another value"
	if v, _ := d.judge(d.disk.CrashClone(vfs.CrashCloneCfg{}), "none"); v.wrong == 0 {
		t.Error("a changed value went unnoticed")
	}
	d = newFlipDisk(t, true)
	d.want[0] = append(d.want[0], "one more")
	if v, _ := d.judge(d.disk.CrashClone(vfs.CrashCloneCfg{}), "none"); v.lost == 0 {
		t.Error("a lost value went unnoticed")
	}
}
