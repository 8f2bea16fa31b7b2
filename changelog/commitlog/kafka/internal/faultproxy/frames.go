package faultproxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const maxFrame = 128 << 20

var errFrame = errors.New("frame makes no sense as Kafka protocol")

// readFrame returns a frame with its length in front.
func readFrame(r io.Reader) ([]byte, error) {
	f := make([]byte, 4)
	if _, err := io.ReadFull(r, f); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(f)
	if size < 4 || size > maxFrame {
		return nil, errFrame
	}
	f = append(f, make([]byte, size)...)
	_, err := io.ReadFull(r, f[4:])
	return f, err
}

// decodeRequest reads a request frame: length, key, version, correlation id,
// client id, for flexible versions tags, body.
func decodeRequest(f []byte) (kmsg.Request, error) {
	if len(f) < 14 {
		return nil, errFrame
	}
	req := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(f[4:])))
	if req == nil {
		return nil, fmt.Errorf("%w: request key %d", errFrame, binary.BigEndian.Uint16(f[4:]))
	}
	req.SetVersion(int16(binary.BigEndian.Uint16(f[6:])))
	body := f[14:]
	if n := int(int16(binary.BigEndian.Uint16(f[12:]))); n > 0 {
		if n > len(body) {
			return nil, errFrame
		}
		body = body[n:]
	}
	if req.IsFlexible() {
		var err error
		if body, err = skipTags(body); err != nil {
			return nil, err
		}
	}
	return req, req.ReadFrom(body)
}

func skipTags(p []byte) ([]byte, error) {
	count, n := binary.Uvarint(p)
	if n <= 0 || count > 0 {
		return nil, errFrame // no client of ours sends any
	}
	return p[n:], nil
}

// encodeAnswer makes a frame of an answer to the request in f.
func encodeAnswer(f []byte, req kmsg.Request, resp kmsg.Response) []byte {
	out := append(make([]byte, 4), f[8:12]...) // the correlation id
	if req.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		out = append(out, 0)
	}
	resp.SetVersion(req.GetVersion())
	out = resp.AppendTo(out)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

func decodeAnswer(f []byte, req kmsg.Request) (kmsg.Response, error) {
	body := f[8:]
	if req.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		var err error
		if body, err = skipTags(body); err != nil {
			return nil, err
		}
	}
	resp := req.ResponseKind()
	return resp, resp.ReadFrom(body)
}

// readdress puts the proxy's addresses in the place of the brokers', and what the
// fence knows better.
func (p *Proxy) readdress(req kmsg.Request, f []byte) ([]byte, error) {
	switch req.(type) {
	case *kmsg.MetadataRequest, *kmsg.FindCoordinatorRequest:
	case *kmsg.DescribeTransactionsRequest:
		if !p.cfg.Fencing {
			return f, nil
		}
	default:
		return f, nil
	}
	resp, err := decodeAnswer(f, req)
	if err != nil {
		return nil, err
	}
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		for i := range r.Brokers {
			err = errors.Join(err, p.replace(&r.Brokers[i].Host, &r.Brokers[i].Port))
		}
	case *kmsg.DescribeTransactionsResponse:
		p.describe(r)
	case *kmsg.FindCoordinatorResponse:
		if r.ErrorCode == 0 && r.Host != "" {
			err = p.replace(&r.Host, &r.Port)
		}
		for i := range r.Coordinators {
			if c := &r.Coordinators[i]; c.ErrorCode == 0 {
				err = errors.Join(err, p.replace(&c.Host, &c.Port))
			}
		}
	}
	return encodeAnswer(f4(f), req, resp), err
}

// f4 shifts an answer's correlation id to where a request has it.
func f4(answer []byte) []byte { return append(make([]byte, 4), answer...) }

func (p *Proxy) replace(host *string, port *int32) error {
	front, err := p.front(net.JoinHostPort(*host, strconv.Itoa(int(*port))))
	if err != nil {
		return err
	}
	h, at, err := net.SplitHostPort(front)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(at)
	*host, *port = h, int32(n)
	return err
}
