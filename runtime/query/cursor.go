package query

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// A cursor is where a page ended, signed, so that a client can neither read what
// it was not given nor make the server seek with bytes of its own:
//
//	version(1) | scan(16) | partition(4) | row key | MAC(16)        in URL base64
//
// scan is a digest of everything that the page was asked for but its limit; a
// cursor is good for that scan only. The row key is the engine's without the
// store id. Rows are merged in the order (row key, partition), so one place
// stands for all partitions, and a page resumes on any instance with the key.

const (
	cursorVersion = 1
	scanBytes     = 16
	macBytes      = 16
	cursorHead    = 1 + scanBytes + 4
	// maxCursorKey bounds the row key: a cursor has to fit into a request line.
	maxCursorKey = 4 << 10
	maxCursor    = cursorHead + maxCursorKey + macBytes
)

type scanID [scanBytes]byte

// place is the last row of a page.
type place struct {
	rowKey    []byte
	partition int32
}

// sealer signs cursors.
type sealer struct{ key [sha256.Size]byte }

// newSealer takes a key that all instances share, or draws one from crypto/rand,
// with which cursors expire when the process ends.
func newSealer(key Secret) sealer {
	if key.IsZero() {
		var s sealer
		_, _ = rand.Read(s.key[:]) // never fails: see crypto/rand
		return s
	}
	return sealer{sha256.Sum256([]byte("tidemill cursor key\x00" + key.Reveal()))}
}

// scanOf digests the parts of a request. Each is preceded by its length, so that
// no two different requests are digested alike.
func scanOf(parts ...[]byte) scanID {
	h := sha256.New()
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return scanID(h.Sum(nil)[:scanBytes])
}

func (s sealer) seal(scan scanID, at place) (string, error) {
	if len(at.rowKey) > maxCursorKey {
		return "", problem(CodeBudget, fmt.Sprintf(
			"the page would end at a key of %d bytes, and a cursor holds %d: ask for another limit, or narrow the range", len(at.rowKey), maxCursorKey))
	}
	b := make([]byte, 0, cursorHead+len(at.rowKey)+macBytes)
	b = append(append(b, cursorVersion), scan[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(at.partition))
	b = append(b, at.rowKey...)
	return base64.RawURLEncoding.EncodeToString(append(b, s.mac(b)...)), nil
}

// open reads a cursor. A signature that does not fit may come from a process
// that has ended as well as from tampering, and the way on is the same.
func (s sealer) open(scan scanID, text string) (place, error) {
	if len(text) > base64.RawURLEncoding.EncodedLen(maxCursor) {
		return place{}, badParameter("cursor", "longer than any cursor")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < cursorHead+macBytes {
		return place{}, badParameter("cursor", "not a cursor of an earlier page")
	}
	signed, mac := b[:len(b)-macBytes], b[len(b)-macBytes:]
	if !hmac.Equal(mac, s.mac(signed)) || signed[0] != cursorVersion {
		return place{}, problem(CodeCursorExpired, "the cursor is from a process that has ended, or was changed: start again without it")
	}
	if scanID(signed[1:1+scanBytes]) != scan {
		return place{}, badParameter("cursor", "it belongs to a scan with other parameters: repeat all of them but limit")
	}
	return place{
		partition: int32(binary.BigEndian.Uint32(signed[1+scanBytes:])),
		rowKey:    signed[cursorHead:],
	}, nil
}

func (s sealer) mac(b []byte) []byte {
	h := hmac.New(sha256.New, s.key[:])
	h.Write(b)
	return h.Sum(nil)[:macBytes]
}
