package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// compressors cover each codec, and each framing of one that has several.
var compressors = []struct {
	name     string
	codec    Codec
	compress func(t testing.TB, p []byte) []byte
}{
	{"gzip", CodecGzip, gzipped},
	{"snappy", CodecSnappy, func(_ testing.TB, p []byte) []byte { return s2.EncodeSnappyBest(nil, p) }},
	{"xerial", CodecSnappy, func(_ testing.TB, p []byte) []byte { return xerial(p, 32<<10) }},
	{"lz4", CodecLZ4, func(t testing.TB, p []byte) []byte { return lz4Framed(t, p, lz4.Block64Kb) }},
	{"lz4-4MiB", CodecLZ4, func(t testing.TB, p []byte) []byte { return lz4Framed(t, p, lz4.Block4Mb) }},
	{"zstd", CodecZstd, zstdSized},
	{"zstd-stream", CodecZstd, zstdStreamed},
}

func gzipped(t testing.TB, p []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	mustWrite(t, w, p)
	return out.Bytes()
}

func xerial(p []byte, blockSize int) []byte {
	out := append([]byte(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1)
	for len(p) > 0 {
		n := min(len(p), blockSize)
		block := s2.EncodeSnappyBest(nil, p[:n])
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(block))), block...)
		p = p[n:]
	}
	return out
}

func lz4Framed(t testing.TB, p []byte, size lz4.BlockSize) []byte {
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	if err := w.Apply(lz4.BlockSizeOption(size)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, w, p)
	return out.Bytes()
}

func zstdSized(t testing.TB, p []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(p, nil)
}

// zstdStreamed leaves the size of the content out of the frame, as Java does.
func zstdStreamed(t testing.TB, p []byte) []byte {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for len(p) > 0 {
		n := min(len(p), 100_000)
		if _, err := w.Write(p[:n]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var header zstd.Header
	if err := header.Decode(out.Bytes()); err != nil || header.HasFCS {
		t.Fatalf("the frame declares its size (%v)", err)
	}
	return out.Bytes()
}

func mustWrite(t testing.TB, w interface {
	Write([]byte) (int, error)
	Close() error
}, p []byte) {
	t.Helper()
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// compressible records come out about 50 times smaller, so that buffers that
// start at a guess have to grow.
func compressible(n int) []testRecord {
	records := sampleRecords(n)
	for i := range records {
		records[i].value = bytes.Repeat([]byte{'v'}, 500)
	}
	return records
}

func TestCodecs(t *testing.T) {
	for _, c := range compressors {
		for _, records := range [][]testRecord{sampleRecords(1), sampleRecords(500), compressible(400)} {
			t.Run(fmt.Sprintf("%s/%d", c.name, len(records)), func(t *testing.T) {
				plain := build(records)
				raw := withRecords(plain, c.compress(t, plain[HeaderSize:]), c.codec)
				got, _ := mustReadAll(t, raw)
				if err := diffRecords(records, got); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestBombs: much more output than any batch has reason for, from each codec.
func TestBombs(t *testing.T) {
	const bombSize = 16 << 20
	plain := build(sampleRecords(3))
	for _, c := range compressors {
		t.Run(c.name, func(t *testing.T) {
			bomb := c.compress(t, make([]byte, bombSize))
			raw := withRecords(plain, bomb, c.codec)
			limit := outputLimit(len(bomb))
			if limit >= bombSize {
				// Snappy cannot exceed 100 x, so its bomb declares what it does not hold.
				raw = withRecords(plain, lyingSnappy(c.name), c.codec)
				limit = outputLimit(100)
			}
			allocated := allocatedBy(func() {
				_, _, err := readAll(raw)
				if !errors.Is(err, errTooMuch) || !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.codec.String()) {
					t.Errorf("got %v, want too much output, the codec named", err)
				}
			})
			// Twice, because the race detector makes pools forget at random.
			if most := 2*codecOverhead + 4*uint64(limit); allocated > most {
				t.Errorf("%d bytes allocated for a bomb of %d, limit %d", allocated, len(bomb), most)
			}
		})
	}
}

// lyingSnappy is a few bytes that declare 60 MiB.
func lyingSnappy(framing string) []byte {
	block := append(binary.AppendUvarint(nil, 60<<20), 0, 0)
	if framing != "xerial" {
		return block
	}
	out := append([]byte(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1)
	return append(binary.BigEndian.AppendUint32(out, uint32(len(block))), block...)
}

// codecOverhead is what the codecs take for themselves when their pools are
// empty: two lz4 blocks of 4 MiB, or the tables of zstd and gzip.
const codecOverhead = 10 << 20

func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestXerialBlockTooLarge(t *testing.T) {
	raw := withRecords(build(sampleRecords(3)), xerial(make([]byte, 2<<20), 2<<20), CodecSnappy)
	if _, _, err := readAll(raw); !errors.Is(err, errTooMuch) {
		t.Errorf("got %v", err)
	}
}

func TestUnknownCodec(t *testing.T) {
	for codec := Codec(5); codec <= 7; codec++ {
		_, _, err := readAll(patch(build(sampleRecords(3)), atAttributes, 2, int64(codec)))
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), codec.String()) {
			t.Errorf("codec %d: %v", codec, err)
		}
	}
}

// TestDamagedCompression damages each byte of the compressed block, with the
// checksum mended, and alternates with a sound batch: a pooled decoder must not
// carry a failure over. Without a checksum of its own a codec may miss damage,
// but then it ends in records or in an error, never in a panic.
func TestDamagedCompression(t *testing.T) {
	records := sampleRecords(20)
	plain := build(records)
	for _, c := range compressors {
		t.Run(c.name, func(t *testing.T) {
			sound := withRecords(plain, c.compress(t, plain[HeaderSize:]), c.codec)
			for i := HeaderSize; i < len(sound); i++ {
				damaged := bytes.Clone(sound)
				damaged[i] ^= 0xff
				if _, _, err := readAll(mend(damaged)); err != nil && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("byte %d: %v", i, err)
				}
				cut := withRecords(sound, sound[HeaderSize:i], c.codec)
				if _, _, err := readAll(cut); !errors.Is(err, ErrCorrupt) {
					// The records may be whole already when the end mark is missing.
					if got, _, _ := readAll(cut); diffRecords(records, got) != nil {
						t.Fatalf("cut at %d: %v", i, err)
					}
				}
				got, _ := mustReadAll(t, sound)
				if err := diffRecords(records, got); err != nil {
					t.Fatalf("after damage at byte %d: %v", i, err)
				}
			}
		})
	}
}

func TestDecompressConcurrently(t *testing.T) {
	records := sampleRecords(300)
	plain := build(records)
	var wait sync.WaitGroup
	for _, c := range compressors {
		raw := withRecords(plain, c.compress(t, plain[HeaderSize:]), c.codec)
		for range 4 {
			wait.Go(func() {
				for range 20 {
					got, _, err := readAll(raw)
					if err == nil {
						err = diffRecords(records, got)
					}
					if err != nil {
						t.Errorf("%s: %v", c.name, err)
					}
				}
			})
		}
	}
	wait.Wait()
}

// TestLegacyLZ4: no producer writes the kernel's frame, and its blocks of 8 MiB
// would be allocated whatever they hold.
func TestLegacyLZ4(t *testing.T) {
	plain := build(sampleRecords(3))
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	if err := w.Apply(lz4.LegacyOption(true)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, w, plain[HeaderSize:])
	if _, _, err := readAll(withRecords(plain, out.Bytes(), CodecLZ4)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}
