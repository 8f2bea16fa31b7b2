package recordbatch

import "encoding/binary"

// RecordSize returns the most bytes that a record can take in a batch, the
// header of a batch of its own included. Writers check it against their limit
// before Append.
func RecordSize(key, value []byte, headers []Header) int {
	const lengthAttributesDeltas = binary.MaxVarintLen32 + 1 + binary.MaxVarintLen64 + binary.MaxVarintLen32
	return HeaderSize + lengthAttributesDeltas + bytesSize(key) + bytesSize(value) + headersSize(headers)
}

// headersSize is in two functions so that the usual case, none, is inlined.
func headersSize(headers []Header) int {
	if len(headers) == 0 {
		return 1
	}
	return someHeadersSize(headers)
}

func someHeadersSize(headers []Header) int {
	size := varintSize(int64(len(headers)))
	for i := range headers {
		size += varintSize(int64(len(headers[i].Key))) + len(headers[i].Key) + bytesSize(headers[i].Value)
	}
	return size
}

// putRecord writes the record into p, which has room, and returns its size. Its
// length comes first, which is why body, the size of the rest, is computed
// beforehand: encoding aside and copying costs more than adding up the sizes.
func putRecord(p []byte, body int, timeDelta, offsetDelta int64, key, value []byte, headers []Header) int {
	i := putVarint(p, 0, int64(body))
	p[i] = 0 // attributes: none are defined
	i = putVarint(p, i+1, timeDelta)
	i = putVarint(p, i, offsetDelta)
	i = putBytes(p, i, key)
	i = putBytes(p, i, value)
	i = putVarint(p, i, int64(len(headers)))
	for h := range headers {
		i = putVarint(p, i, int64(len(headers[h].Key)))
		i += copy(p[i:], headers[h].Key)
		i = putBytes(p, i, headers[h].Value)
	}
	return i
}
