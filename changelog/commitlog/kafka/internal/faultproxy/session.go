package faultproxy

import (
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// session is one connection of a client and the one to the broker behind it.
type session struct {
	proxy          *Proxy
	broker         string
	client, server net.Conn

	mu      sync.Mutex
	pending []expected // answers to come, in order
}

// expected is an answer to come.
type expected struct {
	request kmsg.Request
	deliver bool // to the client
	last    bool // the connection ends with it
}

func (s *session) close() { s.proxy.forget(s.client, s.server) }

// requests carries the client's requests to the broker.
func (s *session) requests() {
	defer s.close()
	for {
		f, err := readFrame(s.client)
		if err != nil {
			return
		}
		req, err := decodeRequest(f)
		if err != nil {
			return
		}
		if s.proxy.cfg.Fencing && req.Key() == int16(kmsg.InitProducerID) {
			if !s.initProducer(f, req) {
				return
			}
			continue
		}
		if !s.deliver(f, req) {
			return
		}
	}
}

// deliver does what was decided about a request; false ends the connection.
func (s *session) deliver(f []byte, req kmsg.Request) bool {
	verdict := Verdict{}
	if s.proxy.cfg.Decide != nil {
		verdict = s.proxy.cfg.Decide(req)
	}
	switch verdict.Action {
	case Late:
		s.proxy.wg.Go(func() { s.proxy.late(s.broker, f, verdict) })
		return false
	case Replay:
		s.proxy.wg.Go(func() { s.proxy.late(s.broker, f, verdict) })
		return s.send(f, expected{request: req, deliver: true})
	}
	if !s.proxy.sleep(verdict.Delay) {
		return false
	}
	switch verdict.Action {
	case Drop:
		return false
	case DropAnswer:
		return s.send(f, expected{request: req, last: true})
	case Twice:
		return s.send(f, expected{request: req, deliver: true}) && s.send(f, expected{request: req})
	}
	return s.send(f, expected{request: req, deliver: true})
}

func (s *session) send(f []byte, e expected) bool {
	if p, ok := e.request.(*kmsg.ProduceRequest); ok && p.Acks == 0 {
		_, err := s.server.Write(f)
		return err == nil
	}
	s.mu.Lock()
	s.pending = append(s.pending, e)
	s.mu.Unlock()
	_, err := s.server.Write(f)
	return err == nil
}

// answers carries the broker's answers to the client.
func (s *session) answers() {
	defer s.close()
	for {
		f, err := readFrame(s.server)
		if err != nil {
			return
		}
		s.mu.Lock()
		if len(s.pending) == 0 {
			s.mu.Unlock()
			return
		}
		e := s.pending[0]
		s.pending = s.pending[1:]
		s.mu.Unlock()
		if e.last {
			return
		}
		if !e.deliver {
			continue
		}
		if f, err = s.proxy.readdress(e.request, f); err != nil {
			return
		}
		if _, err := s.client.Write(f); err != nil {
			return
		}
	}
}

// late delivers a request long after its connection has ended.
func (p *Proxy) late(broker string, f []byte, v Verdict) {
	if !p.sleep(v.Delay) {
		return
	}
	if _, err := p.exchange(broker, f); err != nil {
		return // the broker was down then: the request is lost
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.delivered++
}

// exchange sends one frame on a connection of its own and returns the answer.
func (p *Proxy) exchange(broker string, f []byte) ([]byte, error) {
	conn, err := net.Dial("tcp", broker)
	if err != nil {
		return nil, err
	}
	p.keep(conn)
	defer p.forget(conn)
	if _, err := conn.Write(f); err != nil {
		return nil, err
	}
	return readFrame(conn)
}
