package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// The framing of package record, as far as the search for proof needs it; drawn
// in FORMAT.md.
const (
	blockSize       = 32 << 10
	chunkHeaderSize = 19
	chunkFull       = 9
	chunkFirst      = 10
	chunkLast       = 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readJournal hands every entry of a journal to handle, with the offset at which
// it ends, and returns the offset at which the valid entries end. provenEnd is
// the length that something outside this file proves to have been on disk; with
// exact set, entries behind it never happened and are not read.
//
// Where the entries stop being readable, the rest is a torn tail unless
// something proves that it was on disk: provenEnd, or a readable entry behind it
// whose synced length covers it. Then it is damage, an error, never cut.
func readJournal(o *Options, number uint64, provenEnd int64, exact bool, handle func(end int64, encoded []byte) error) (int64, error) {
	path := o.FS.PathJoin(o.Dir, journalName(number))
	file, err := o.FS.Open(path)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	defer file.Close()
	reader := newRecordReader(record.NewReader, file, number)
	var scratch bytes.Buffer
	at := int64(0)
	for !exact || at < provenEnd {
		encoded, err := nextRecord(reader, &scratch)
		if err != nil {
			return at, classifyEnd(file, path, number, at, provenEnd, err)
		}
		at = endOfEntry(reader.Offset())
		if err := handle(at, encoded); err != nil {
			return at, fmt.Errorf("%s, entry before byte %d: %w", path, at, err)
		}
	}
	if at > provenEnd {
		return at, damaged(path, at, "an entry reaches over the end of the journal")
	}
	return at, nil
}

func nextRecord(r *record.Reader, scratch *bytes.Buffer) ([]byte, error) {
	one, err := r.Next()
	if err != nil {
		return nil, err
	}
	scratch.Reset()
	if _, err := scratch.ReadFrom(one); err != nil {
		return nil, err
	}
	return slices.Clone(scratch.Bytes()), nil
}

// endOfEntry turns the reader's offset into the writer's: where no chunk fits
// into the rest of a block, the writer is at the next one already.
func endOfEntry(offset int64) int64 {
	if rest := blockSize - offset%blockSize; rest < chunkHeaderSize {
		return offset + rest
	}
	return offset
}

// classifyEnd decides what the unreadable rest of a journal from offset at is:
// nil for a torn tail, else the error.
func classifyEnd(file vfs.File, path string, number uint64, at, provenEnd int64, cause error) error {
	ioFailed := !errors.Is(cause, io.EOF) && !errors.Is(cause, record.ErrInvalidChunk) &&
		!errors.Is(cause, record.ErrZeroedChunk) && !errors.Is(cause, record.ErrUnexpectedEOF)
	if ioFailed {
		return fmt.Errorf("read %s at byte %d: %w", path, at, cause)
	}
	if at < provenEnd {
		return damaged(path, at, "the recovery point or the next journal proves that %d bytes were on disk", provenEnd)
	}
	proof, err := findProof(file, number, at)
	if err != nil {
		return fmt.Errorf("read %s behind byte %d: %w", path, at, err)
	}
	if proof > at {
		return damaged(path, at, "a later entry proves that %d bytes were on disk", proof)
	}
	return nil
}

func damaged(path string, at int64, why string, args ...any) error {
	return fmt.Errorf("%w: %s at byte %d: %s; nothing was cut off, restore the file from a backup or have it truncated on purpose",
		commitlog.ErrCorrupt, path, at, fmt.Sprintf(why, args...))
}

// findProof returns the largest synced length claimed by any intact chunk behind
// offset at. It looks at every byte, not only where a chunk should begin: behind
// a damaged length nothing says where that is. Package record does the like from
// the next block on, and takes some single flipped bits for the end of the file.
func findProof(file vfs.File, number uint64, at int64) (int64, error) {
	block := make([]byte, blockSize)
	best := int64(0)
	for start := at - at%blockSize; ; start += blockSize {
		n, err := file.ReadAt(block, start)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := max(0, at-start); i+chunkHeaderSize <= int64(n); i++ {
			best = max(best, provenBy(block[i:n], uint32(number), start+i))
		}
		if n < blockSize {
			return best, nil
		}
	}
}

// provenBy returns the synced length that the chunk at the front of b claims, 0
// if there is no intact chunk of this journal. A claim about bytes behind the
// chunk itself is nonsense.
func provenBy(b []byte, number uint32, at int64) int64 {
	kind := b[6]
	if kind < chunkFull || kind > chunkLast || binary.LittleEndian.Uint32(b[7:]) != number {
		return 0
	}
	end := chunkHeaderSize + int(binary.LittleEndian.Uint16(b[4:]))
	if end > len(b) || maskedCRC(b[6:end]) != binary.LittleEndian.Uint32(b) {
		return 0
	}
	proof := int64(binary.LittleEndian.Uint64(b[11:]))
	if kind <= chunkFirst && end-chunkHeaderSize >= entryPrefix {
		proof = max(proof, int64(binary.LittleEndian.Uint64(b[chunkHeaderSize+1:])))
	}
	if proof > at {
		return 0
	}
	return proof
}

func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
