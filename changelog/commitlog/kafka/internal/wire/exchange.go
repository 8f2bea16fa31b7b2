package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// maxFrame bounds an answer. A broker's largest is what Fetch asks for plus
	// one batch; the length of a peer that is no broker is any number.
	maxFrame = 128 << 20
	// trustedFrame is allocated on the word of a length; what is larger grows with
	// what really arrives.
	trustedFrame = 16 << 20

	apiVersionsKey = 18
)

// exchange writes requests on one connection and reads the answers, which come
// in order. kafka-go may still run it after the caller has gone (its context
// ended), so it shares nothing with the caller, and nothing of it is reused.
type exchange struct {
	out         []byte
	requests    []kmsg.Request
	correlation int32 // of the first request
	responses   []kmsg.Response
}

var _ protocol.RawExchanger = (*exchange)(nil)

// newExchange encodes the requests. Each goes into a slice of its own first:
// AppendRequest writes the length to the start of the slice it is given, so a
// second frame appended to a first breaks both, and the broker waits for the rest
// of a frame that never comes.
func newExchange(formatter *kmsg.RequestFormatter, requests []kmsg.Request, correlation int32) *exchange {
	x := &exchange{requests: requests, correlation: correlation}
	for i, r := range requests {
		frame := formatter.AppendRequest(nil, r, correlation+int32(i))
		if x.out == nil {
			x.out = frame
			continue
		}
		x.out = append(x.out, frame...)
	}
	return x
}

// ApiKey implements protocol.Message.
func (x *exchange) ApiKey() protocol.ApiKey { return protocol.ApiKey(x.requests[0].Key()) }

// Required implements protocol.RawExchanger.
func (x *exchange) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange implements protocol.RawExchanger. An error closes the connection.
func (x *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if _, err := rw.Write(x.out); err != nil {
		return nil, err
	}
	x.out = nil // a produce request is large, and a long poll is long
	for i, r := range x.requests {
		frame, err := readFrame(rw)
		if err != nil {
			return nil, err
		}
		response, err := decode(frame, r, x.correlation+int32(i))
		if err != nil {
			return nil, err
		}
		x.responses = append(x.responses, response)
	}
	return x, nil
}

var errFrame = errors.New("answer makes no sense as Kafka protocol")

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(head[:])))
	if size < 4 || size > maxFrame {
		return nil, fmt.Errorf("%w: its length is %d bytes, the most is %d; is the port one of a Kafka listener of the right kind (TLS or plaintext)?",
			errFrame, size, maxFrame)
	}
	frame := make([]byte, min(size, trustedFrame))
	for filled := 0; ; {
		n, err := io.ReadFull(r, frame[filled:])
		if err != nil {
			return nil, fmt.Errorf("%d of %d bytes: %w", filled+n, size, err)
		}
		if filled = len(frame); int64(filled) == size {
			return frame, nil
		}
		grown := make([]byte, min(size, 2*int64(filled)))
		copy(grown, frame)
		frame = grown
	}
}

// decode reads the answer to r. It may alias frame (record batches do).
func decode(frame []byte, r kmsg.Request, correlation int32) (kmsg.Response, error) {
	if got := int32(binary.BigEndian.Uint32(frame)); got != correlation {
		return nil, fmt.Errorf("%w: it answers request %d, not %d", errFrame, got, correlation)
	}
	body := frame[4:]
	response := r.ResponseKind()
	switch {
	case r.Key() == apiVersionsKey:
		// Its header never has tags, and its refusal of the version is in version 0.
		if len(body) >= 2 && Code(binary.BigEndian.Uint16(body)) == UnsupportedVersion {
			response.SetVersion(0)
		}
	case r.IsFlexible():
		var err error
		if body, err = skipTags(body); err != nil {
			return nil, err
		}
	}
	if err := response.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%w: %s version %d, %d bytes: %w", errFrame, kmsg.NameForKey(r.Key()), r.GetVersion(), len(frame), err)
	}
	return response, nil
}

// skipTags skips the tagged fields of a header.
func skipTags(p []byte) ([]byte, error) {
	count, n := binary.Uvarint(p)
	if n <= 0 {
		return nil, fmt.Errorf("%w: header is cut off", errFrame)
	}
	p = p[n:]
	for range min(count, uint64(len(p))+1) {
		_, n := binary.Uvarint(p)
		if n <= 0 {
			return nil, fmt.Errorf("%w: header tag is cut off", errFrame)
		}
		size, m := binary.Uvarint(p[n:])
		if m <= 0 || size > uint64(len(p)-n-m) {
			return nil, fmt.Errorf("%w: header tag is cut off", errFrame)
		}
		p = p[n+m+int(size):]
	}
	return p, nil
}
