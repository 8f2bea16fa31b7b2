package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// errTooMuch: the output would exceed its limit. Any tenant who may produce can
// send a bomb through a cluster, so reading is as exposed as serving.
var errTooMuch = errors.New("decompressed records exceed the limit")

// decompress returns the records block of a compressed batch in a new buffer.
func (b Batch) decompress() ([]byte, error) {
	src := b.Raw[HeaderSize:]
	if len(src) == 0 && b.Count == 0 {
		return nil, nil // emptied by compaction: not even an empty frame is left
	}
	limit := outputLimit(len(src))
	var out []byte
	var err error
	switch b.Codec() {
	case CodecGzip:
		out, err = gunzip(src, limit)
	case CodecSnappy:
		out, err = unsnappy(src, limit)
	case CodecLZ4:
		out, err = unlz4(src, limit)
	case CodecZstd:
		out, err = unzstd(src, limit)
	default:
		return nil, corruptBatch(b.BaseOffset, "%s is not known", b.Codec())
	}
	if err != nil {
		return nil, &CorruptError{BaseOffset: b.BaseOffset, Record: -1, Cause: err,
			Reason: fmt.Sprintf("%d bytes of %s do not decompress within %d bytes", len(src), b.Codec(), limit)}
	}
	return out, nil
}

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

func gunzip(src []byte, limit int) ([]byte, error) {
	r := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(r)
	if err := r.Reset(bytes.NewReader(src)); err != nil {
		return nil, err
	}
	return readLimited(r, len(src), limit)
}

const lz4FrameMagic = 0x184D2204

var lz4Readers = sync.Pool{New: func() any { return lz4.NewReader(nil) }}

func unlz4(src []byte, limit int) ([]byte, error) {
	// The legacy frame of the Linux kernel, which the reader knows too, would
	// take 16 MiB of buffers whatever it holds.
	if len(src) < 4 || binary.LittleEndian.Uint32(src) != lz4FrameMagic {
		return nil, errors.New("no lz4 frame")
	}
	r := lz4Readers.Get().(*lz4.Reader)
	defer lz4Readers.Put(r)
	r.Reset(bytes.NewReader(src))
	return readLimited(r, len(src), limit)
}

// readLimited reads all of r, at most limit bytes. The buffer grows with what
// has come out, never with what the input promises.
func readLimited(r io.Reader, inputSize, limit int) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, min(4*inputSize+bytes.MinRead, limit+1)))
	if _, err := out.ReadFrom(io.LimitReader(r, int64(limit)+1)); err != nil {
		return nil, err
	}
	if out.Len() > limit {
		return nil, errTooMuch
	}
	return out.Bytes(), nil
}

// Java producers frame snappy as the xerial library does: a header of 16 bytes
// (magic, version, oldest compatible version), then blocks, each behind its
// length. Everybody else writes one bare block.
const (
	xerialMagic      = "\x82SNAPPY\x00"
	xerialHeaderSize = 16
	xerialBlockMax   = 1 << 20 // decompressed
)

func unsnappy(src []byte, limit int) ([]byte, error) {
	if len(src) >= xerialHeaderSize && string(src[:len(xerialMagic)]) == xerialMagic {
		return unxerial(src[xerialHeaderSize:], limit)
	}
	n, err := s2.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, errTooMuch
	}
	return s2.Decode(make([]byte, n), src)
}

func unxerial(blocks []byte, limit int) ([]byte, error) {
	total, err := xerialSize(blocks, limit)
	if err != nil {
		return nil, err
	}
	out := make([]byte, total)
	filled := 0
	for len(blocks) > 0 {
		block, rest, err := xerialBlock(blocks)
		if err != nil {
			return nil, err
		}
		part, err := s2.Decode(out[filled:], block)
		if err != nil {
			return nil, err
		}
		filled += len(part)
		blocks = rest
	}
	return out, nil
}

// xerialSize adds up what the blocks declare, before anything is allocated.
func xerialSize(blocks []byte, limit int) (total int, err error) {
	for len(blocks) > 0 {
		block, rest, err := xerialBlock(blocks)
		if err != nil {
			return 0, err
		}
		n, err := s2.DecodedLen(block)
		if err != nil {
			return 0, err
		}
		total += n
		if n > xerialBlockMax || total > limit {
			return 0, errTooMuch
		}
		blocks = rest
	}
	return total, nil
}

func xerialBlock(p []byte) (block, rest []byte, err error) {
	if len(p) < 4 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := int64(binary.BigEndian.Uint32(p))
	if p = p[4:]; n > int64(len(p)) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return p[:n], p[n:], nil
}

const zstdWindowMax = 8 << 20

// zstdDecoders are pooled rather than shared: one decoder serves one caller at a
// time. At concurrency 1 they hold no goroutine, so the pool may drop them.
var zstdDecoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true), // one window of history, not two
		zstd.WithDecoderMaxMemory(MaxBatchBytes),
		zstd.WithDecoderMaxWindow(zstdWindowMax),
		zstd.WithDecodeBuffersBelow(0)) // or small inputs would be decoded whole, past our limit
	if err != nil {
		return err
	}
	return d
}}

// unzstd decodes as a stream. Decoding into one buffer would save a copy, but
// frames written as a stream, as Java's are, do not declare their size, and the
// decoder does not tell a buffer that is too small from damage.
func unzstd(src []byte, limit int) ([]byte, error) {
	pooled := zstdDecoders.Get()
	decoder, ok := pooled.(*zstd.Decoder)
	if !ok {
		return nil, pooled.(error)
	}
	defer zstdDecoders.Put(decoder)
	if err := decoder.Reset(bytes.NewReader(src)); err != nil {
		return nil, err
	}
	return readLimited(decoder, len(src), limit)
}
