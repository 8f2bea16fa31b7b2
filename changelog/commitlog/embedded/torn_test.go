package embedded

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tornLog is a log that ended without a clean close, and where in its journal
// each commit ended.
type tornLog struct {
	disk    *vfs.MemFS
	options Options
	path    string
	journal []byte
	values  []string
	ends    []int64 // journal length after each value's commit
}

func newTornLog(t *testing.T, growth int) *tornLog {
	disk := vfs.NewCrashableMem()
	l := &tornLog{disk: disk, options: Options{FS: disk, Dir: "log", Logger: quiet}}
	open := mustOpen(t, l.options)
	w, err := openTopic(open, "a", 1, "w")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		value := fmt.Sprintf("%d%0*d", i, growth*i, 0)
		if err := commitValue(w, tp("a", 0), value); err != nil {
			t.Fatal(err)
		}
		l.values = append(l.values, value)
		l.ends = append(l.ends, open.order.journal.size())
	}
	l.path = "log/" + journalName(open.order.journal.number)
	clone := disk.CrashClone(vfs.CrashCloneCfg{})
	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
	l.disk = clone
	content, _, err := readFile(clone, l.path)
	if err != nil {
		t.Fatal(err)
	}
	l.journal = content
	return l
}

// with opens the log with another content of its journal and returns what it holds.
func (l *tornLog) with(content []byte) ([]string, error) {
	fs := l.disk.CrashClone(vfs.CrashCloneCfg{})
	if err := writeAndSync(fs, l.path, content); err != nil {
		return nil, err
	}
	o := l.options
	o.FS = fs
	log, err := Open(o)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return readAll(log, tp("a", 0), 0)
}

func TestTornTail(t *testing.T) {
	var total verdict
	newTornLog(t, 40).cutEverywhere(t, 1, &total)
	newTornLog(t, 9000).cutEverywhere(t, 29_999, &total) // entries that cross blocks
	t.Log(total.line("torn tail", 3))
}

// cutEverywhere ends the journal at every step-th byte from its third commit on,
// with nothing behind, with zeros as preallocation leaves them, with garbage.
func (l *tornLog) cutEverywhere(t *testing.T, step int64, total *verdict) {
	garbage := make([]byte, 4096)
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range garbage {
		garbage[i] = byte(rng.Uint32())
	}
	for cut := l.ends[2]; cut <= int64(len(l.journal)); cut += step {
		want := 0
		for want < len(l.ends) && l.ends[want] <= endOfEntry(cut) {
			want++
		}
		total.acked += want
		for name, tail := range map[string][]byte{"cut": nil, "zeros": make([]byte, 5000), "garbage": garbage} {
			if name != "cut" && cut/step%4 != 0 {
				continue
			}
			got, err := l.with(slices.Concat(l.journal[:cut], tail))
			if err != nil {
				t.Fatalf("%s at byte %d of %d: %v", name, cut, len(l.journal), err)
			}
			if len(got) < want {
				total.lost++
			}
			// Zeros may be the very bytes that were cut off.
			if len(got) > want && name == "cut" || fmt.Sprint(got) != fmt.Sprint(l.values[:len(got)]) {
				total.wrong++
			}
			if total.bad() {
				t.Fatalf("%s at byte %d of %d: %d values, want %d", name, cut, len(l.journal), len(got), want)
			}
		}
	}
}

// TestDamageBelowSyncedIsNotATail is the control: with an intact entry behind
// it, the same damage is no tail any more.
func TestDamageBelowSyncedIsNotATail(t *testing.T) {
	l := newTornLog(t, 40)
	for at := l.ends[0]; at < l.ends[4]; at += 7 {
		content := append([]byte(nil), l.journal...)
		copy(content[at:min(at+8, l.ends[4])], "DAMAGED!")
		got, err := l.with(content)
		if err == nil {
			t.Fatalf("damage at byte %d went unnoticed, %d of %d values", at, len(got), len(l.values))
		}
		if !namesFile(err, l.path) {
			t.Fatalf("damage at byte %d: the error names no file: %v", at, err)
		}
	}
}
