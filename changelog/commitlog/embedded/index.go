package embedded

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// indexEvery is how many bytes of a segment one index entry stands for.
const indexEvery = 32 << 10

const indexMagic = "TMIX1"

// lastOffsetDeltaAt is where a batch header says how many offsets it covers.
const lastOffsetDeltaAt = 23

// indexEntry says where a batch begins.
type indexEntry struct {
	offset int64 // base offset of the batch
	at     int64 // byte in the segment
}

// sparseIndex finds the batch at or before an offset. It may know only a later
// stretch of its segment, when the segment was written on after a restart; the
// rest is loaded when somebody reads there. Guarded by Log.mu; entries are only
// appended or replaced as a whole, so a copied slice stays valid.
type sparseIndex struct {
	entries []indexEntry
	whole   bool // entries begin with the segment
	sealed  bool // an index file may exist
}

// add takes a batch in if it is far enough from the one before.
func (x *sparseIndex) add(e indexEntry) {
	if n := len(x.entries); n > 0 && e.at-x.entries[n-1].at < indexEvery {
		return
	}
	if e.at == 0 {
		x.whole = true
	}
	x.entries = append(x.entries, e)
}

// find returns the entry at or before offset; ok is false if the index does not
// reach down to it.
func (x *sparseIndex) find(offset int64) (e indexEntry, ok bool) {
	i, found := slices.BinarySearchFunc(x.entries, offset, func(e indexEntry, at int64) int {
		switch {
		case e.offset < at:
			return -1
		case e.offset > at:
			return 1
		}
		return 0
	})
	if found {
		return x.entries[i], true
	}
	if i == 0 {
		return indexEntry{}, false
	}
	return x.entries[i-1], true
}

func indexPath(segmentPath string) string {
	return strings.TrimSuffix(segmentPath, segmentSuffix) + indexSuffix
}

// writeIndex stores the index of a sealed segment, unsynced: a crash may leave
// anything, and anything but this content is noticed and built anew.
func writeIndex(fs vfs.FS, s *segment, entries []indexEntry) error {
	b := append([]byte(indexMagic), make([]byte, 0, 24+16*len(entries))...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.base))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.size))
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint64(b, uint64(e.offset))
		b = binary.LittleEndian.AppendUint64(b, uint64(e.at))
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	path := indexPath(s.path)
	f, err := fs.Create(path, writeCategory)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	_, err = f.Write(b)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return wrapf(err, "write %s", path)
}

// decodeIndex returns nil for anything but an intact index of that segment.
func decodeIndex(b []byte, base, size int64) []indexEntry {
	head := len(indexMagic) + 16
	if len(b) < head+4 || string(b[:len(indexMagic)]) != indexMagic || (len(b)-head-4)%16 != 0 {
		return nil
	}
	body := b[:len(b)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[len(body):]) {
		return nil
	}
	d := decoder{b: body[len(indexMagic):]}
	if d.uint64() != uint64(base) || d.uint64() != uint64(size) {
		return nil
	}
	entries := make([]indexEntry, 0, len(d.b)/16)
	for len(d.b) > 0 {
		entries = append(entries, indexEntry{offset: int64(d.uint64()), at: int64(d.uint64())})
	}
	return entries
}

// loadIndex reads the index file of a segment, or else scans the segment up to
// byte size. A damaged batch ends the scan without an error: whoever reads there
// finds the damage and can say which offset it concerns.
func loadIndex(fs vfs.FS, path string, base, size int64, sealed bool) ([]indexEntry, error) {
	if sealed {
		content, ok, err := readFile(fs, indexPath(path))
		if err != nil {
			return nil, err
		}
		if entries := decodeIndex(content, base, size); ok && entries != nil {
			return entries, nil
		}
	}
	return scanIndex(fs, path, base, size)
}

func scanIndex(fs vfs.FS, path string, base, size int64) ([]indexEntry, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	// Each batch must begin where the one before ended: an index built from a
	// damaged base offset would make that offset look right.
	index, expect := sparseIndex{}, base
	header := make([]byte, recordbatch.HeaderSize)
	for at := int64(0); at+recordbatch.HeaderSize <= size; {
		if _, err := f.ReadAt(header, at); err != nil {
			break
		}
		length, err := recordbatch.PeekSize(header)
		offset := int64(binary.BigEndian.Uint64(header))
		delta := int32(binary.BigEndian.Uint32(header[lastOffsetDeltaAt:]))
		if err != nil || offset != expect || delta < 0 || at+int64(length) > size {
			break
		}
		index.add(indexEntry{offset: offset, at: at})
		at += int64(length)
		expect += int64(delta) + 1
	}
	if len(index.entries) == 0 {
		index.add(indexEntry{offset: base, at: 0})
	}
	return index.entries, nil
}
