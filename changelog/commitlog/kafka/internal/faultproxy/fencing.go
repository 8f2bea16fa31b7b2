package faultproxy

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const producerFenced = 90

// fence knows who took each identity over last. Its lock is held over a whole
// exchange, so that no request of a holder before slips in between.
type fence struct {
	sync.Mutex
	holders map[string]holder
}

type holder struct {
	producer int64
	epoch    int16
	timeout  int32 // of transactions, in ms
}

// initProducer runs InitProducerID on a connection of its own. Clients send it
// alone, so the order of answers is kept. false ends the connection.
func (s *session) initProducer(f []byte, r kmsg.Request) bool {
	req := r.(*kmsg.InitProducerIDRequest)
	verdict := Verdict{}
	if s.proxy.cfg.Decide != nil {
		verdict = s.proxy.cfg.Decide(req)
	}
	if verdict.Action == Drop || !s.proxy.sleep(verdict.Delay) {
		return false
	}
	answer, err := s.proxy.fencedInit(s.broker, f, req)
	if err != nil || verdict.Action == DropAnswer || verdict.Action == Late {
		return false
	}
	_, err = s.client.Write(answer)
	return err == nil
}

func (p *Proxy) fencedInit(broker string, f []byte, req *kmsg.InitProducerIDRequest) ([]byte, error) {
	p.fence.Lock()
	defer p.fence.Unlock()
	if req.TransactionalID == nil {
		return p.exchange(broker, f)
	}
	now, known := p.fence.holders[*req.TransactionalID]
	if stale := req.ProducerID != now.producer || req.ProducerEpoch < now.epoch; req.ProducerID >= 0 && known && stale {
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = producerFenced, -1, -1
		return encodeAnswer(f, req, resp), nil
	}
	answer, err := p.exchange(broker, f)
	if err != nil || req.ProducerID >= 0 {
		return answer, err
	}
	resp, err := decodeAnswer(answer, req)
	if err != nil {
		return nil, err
	}
	if r := resp.(*kmsg.InitProducerIDResponse); r.ErrorCode == 0 {
		p.fence.holders[*req.TransactionalID] = holder{r.ProducerID, r.ProducerEpoch, req.TransactionTimeoutMillis}
	}
	return answer, nil
}

// describe puts the timeout of the last holder into a description of transactions.
// The emulator shows that of the first.
func (p *Proxy) describe(r *kmsg.DescribeTransactionsResponse) {
	p.fence.Lock()
	defer p.fence.Unlock()
	for i := range r.TransactionStates {
		s := &r.TransactionStates[i]
		if h, known := p.fence.holders[s.TransactionalID]; known {
			s.TimeoutMillis = h.timeout
		}
	}
}
