package recordbatch

import "fmt"

// Iterator walks the records of one batch:
//
//	it := batch.Records()
//	for it.Next() {
//		use(it.Offset, it.Time, it.Key, it.Value)
//	}
//	if err := it.Err(); err != nil { ... }
//
// It is a value of the caller's and allocates nothing for batches that are not
// compressed.
type Iterator struct {
	// Offset is absolute. Offsets increase and may have gaps.
	Offset int64
	// Time in milliseconds since 1970.
	Time int64
	// Key and Value are nil for null. They lie in the batch, or in a buffer of
	// this iterator's if it is compressed, and must not be changed.
	Key, Value []byte
	// HeaderCount is the number of headers of the record.
	HeaderCount int

	records       []byte // the records block, not compressed
	pos           int    // of the next record in it
	index, count  int    // of the next record; of all
	offsetDelta   int64  // of the current record
	lastDelta     int64  // of the record before it
	maxDelta      int64  // the last one that the header admits
	baseOffset    int64
	baseTime      int64
	appendTime    int64 // the time of all records if useAppendTime
	useAppendTime bool
	headers       []byte // of the current record, checked
	err           error
}

// Records returns an iterator before the first record. Records of a compressed
// batch are decompressed here, once for each call.
func (b Batch) Records() Iterator {
	it := Iterator{
		count:         int(b.Count),
		lastDelta:     -1,
		maxDelta:      int64(b.LastOffsetDelta),
		baseOffset:    b.BaseOffset,
		baseTime:      b.BaseTime,
		appendTime:    b.MaxTime,
		useAppendTime: b.Attributes&logAppendTimeBit != 0,
	}
	switch {
	case len(b.Raw) < HeaderSize:
		it.err = fmt.Errorf("%w: %d bytes", ErrShort, len(b.Raw))
	case b.Codec() == CodecNone:
		it.records = b.Raw[HeaderSize:]
	default:
		it.records, it.err = b.decompress()
	}
	return it
}

// Next moves to the next record. It returns false at the end, and at the first
// record that makes no sense; Err tells which.
func (it *Iterator) Next() bool {
	if it.index >= it.count || it.err != nil {
		return it.finish()
	}
	size, pos := shortVarint(it.records, it.pos)
	if pos < 0 {
		size, pos = readVarint(it.records, it.pos)
	}
	if pos < 0 || size < 0 || size > int64(len(it.records)-pos) {
		return it.fail("its length runs past the end of the batch")
	}
	record := it.records[:pos+int(size)] // so that no field can reach into the next record
	pos++                                // attributes: none are defined
	rest := it.readShortFields(record, pos)
	if rest < 0 {
		rest = it.readFields(record, pos)
	}
	if rest < 0 {
		return it.fail("a field runs past the end of the record")
	}
	if it.offsetDelta <= it.lastDelta || it.offsetDelta > it.maxDelta {
		return it.fail("its offset is out of order or outside the batch")
	}
	if it.HeaderCount != 0 || rest != len(record) {
		it.headers = record[rest:]
		if !headersFill(it.headers, it.HeaderCount) {
			return it.fail("the headers do not fill the record")
		}
	}
	it.Offset = it.baseOffset + it.offsetDelta
	if it.useAppendTime {
		it.Time = it.appendTime
	}
	it.lastDelta = it.offsetDelta
	it.pos = len(record)
	it.index++
	return true
}

// readShortFields reads the fields from the time delta to the header count and
// returns the position after them. -1 means that one of them does not fit, or
// only that it needs more than two bytes: readFields decides.
func (it *Iterator) readShortFields(record []byte, pos int) int {
	timeDelta, pos := shortVarint(record, pos)
	offsetDelta, pos := shortVarint(record, pos)
	size, pos := shortVarint(record, pos)
	end := pos + int(size)
	switch {
	case pos >= 0 && size >= 0 && end <= len(record):
		it.Key, pos = record[pos:end:end], end
	case pos >= 0 && size == -1:
		it.Key = nil
	default:
		return -1
	}
	size, pos = shortVarint(record, pos)
	end = pos + int(size)
	switch {
	case pos >= 0 && size >= 0 && end <= len(record):
		it.Value, pos = record[pos:end:end], end
	case pos >= 0 && size == -1:
		it.Value = nil
	default:
		return -1
	}
	headerCount, pos := shortVarint(record, pos)
	it.Time, it.offsetDelta, it.HeaderCount = it.baseTime+timeDelta, offsetDelta, int(headerCount)
	return pos
}

// readFields is readShortFields for varints of any size.
func (it *Iterator) readFields(record []byte, pos int) int {
	timeDelta, pos := readVarint(record, pos)
	offsetDelta, pos := readVarint(record, pos)
	it.Key, pos = readBytes(record, pos)
	it.Value, pos = readBytes(record, pos)
	headerCount, pos := readVarint(record, pos)
	it.Time, it.offsetDelta, it.HeaderCount = it.baseTime+timeDelta, offsetDelta, int(headerCount)
	return pos
}

// Err returns why Next stopped: nil at the end of a sound batch, otherwise a
// *CorruptError with base offset and record index, or ErrShort.
func (it *Iterator) Err() error { return it.err }

// Headers decodes the headers of the current record: nil if there are none.
// Values lie in the batch; keys are copies. Next has checked the bytes, so an
// error can only mean that they were changed since.
func (it *Iterator) Headers() ([]Header, error) {
	if it.HeaderCount == 0 {
		return nil, nil
	}
	headers := make([]Header, it.HeaderCount)
	pos := 0
	for i := range headers {
		var key []byte
		key, pos = readBytes(it.headers, pos)
		headers[i].Key = string(key)
		headers[i].Value, pos = readBytes(it.headers, pos)
	}
	if pos < 0 {
		return nil, &CorruptError{BaseOffset: it.baseOffset, Record: it.index - 1, Reason: "its headers changed while being read"}
	}
	return headers, nil
}

// finish checks that nothing follows the last record. Bytes that no record
// accounts for mean that the count is wrong.
func (it *Iterator) finish() bool {
	if it.err == nil && it.pos != len(it.records) {
		it.err = corruptBatch(it.baseOffset, "%d bytes follow the last of %d records", len(it.records)-it.pos, it.count)
	}
	return false
}

func (it *Iterator) fail(reason string) bool {
	it.err = &CorruptError{BaseOffset: it.baseOffset, Record: it.index, Reason: reason}
	return false
}

// headersFill reports whether p holds exactly count headers. A key cannot be
// null.
func headersFill(p []byte, count int) bool {
	if count < 0 || count > len(p)/2 {
		return false
	}
	pos := 0
	for range count {
		var key []byte
		key, pos = readBytes(p, pos)
		if key == nil {
			return false
		}
		_, pos = readBytes(p, pos)
	}
	return pos == len(p)
}
