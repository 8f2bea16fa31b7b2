package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func quick(brokers ...string) Config {
	return Config{Brokers: brokers, GiveUp: 5 * time.Second, Logger: slog.New(slog.DiscardHandler)}
}

// impatient is for peers that never answer.
func impatient(brokers ...string) Config {
	cfg := quick(brokers...)
	cfg.DialTimeout, cfg.RequestTimeout, cfg.GiveUp = 100*time.Millisecond, 100*time.Millisecond, 300*time.Millisecond
	return cfg
}

func open(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve answers the requests of each connection by a function, which gets key,
// version, correlation id and the frame, and returns what to write; nil closes
// the connection, empty is silence.
func serve(t *testing.T, answer func(key, version int16, correlation int32, frame []byte) []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			conns.Go(func() {
				defer conn.Close()
				for {
					frame, err := readFrame(conn)
					if err != nil {
						return
					}
					out := answer(int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:])),
						int32(binary.BigEndian.Uint32(frame[4:])), frame)
					if out == nil {
						return
					}
					if _, err := conn.Write(out); err != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String()
}

// reply frames a response the way a broker does.
func reply(correlation int32, r kmsg.Response) []byte {
	body := binary.BigEndian.AppendUint32(nil, uint32(correlation))
	if r.IsFlexible() && r.Key() != apiVersionsKey {
		body = append(body, 0)
	}
	body = r.AppendTo(body)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// greet answers what every client asks first, for a cluster of one node at addr.
func greet(key, version int16, correlation int32, addr string) []byte {
	switch key {
	case apiVersionsKey:
		r := &kmsg.ApiVersionsResponse{Version: version}
		for _, k := range []int16{1, 3, 10, 18} {
			r.ApiKeys = append(r.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: k, MaxVersion: 4})
		}
		return reply(correlation, r)
	case 3:
		host, port, _ := net.SplitHostPort(addr)
		var p int32
		for _, d := range port {
			p = 10*p + d - '0'
		}
		r := &kmsg.MetadataResponse{Version: version, ControllerID: 1}
		r.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: host, Port: p}}
		return reply(correlation, r)
	}
	return nil
}

func TestAgainstEmulator(t *testing.T) {
	k := cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(4, "a"))
	c := open(t, quick(k.ListenAddrs()...))
	ctx := t.Context()
	if c.ClusterID() == "" || len(c.Nodes()) != 3 {
		t.Fatalf("cluster %q of %v", c.ClusterID(), c.Nodes())
	}
	if level := c.Feature("transaction.version"); level < 1 {
		t.Errorf("transaction.version is %d", level)
	}
	if v, err := c.Version(kmsg.NewPtrFetchRequest()); err != nil || v < 13 {
		t.Errorf("fetch version %d, %v", v, err)
	}
	info, err := c.TopicInfo(ctx, "a")
	if err != nil || info.Partitions != 4 || !info.HasID() {
		t.Fatalf("%+v, %v", info, err)
	}
	if name, ok := c.TopicName(info.ID); !ok || name != "a" {
		t.Errorf("the id belongs to %q", name)
	}
	for p := range int32(4) {
		if n, err := c.Leader(ctx, "a", p); err != nil || n.ID != k.LeaderFor("a", p) {
			t.Errorf("leader of %d is %v, %v", p, n, err)
		}
	}
	for _, bad := range []error{lastError(c.Leader(ctx, "a", 4)), lastError(c.Leader(ctx, "none", 0)), lastError(c.TopicInfo(ctx, "none"))} {
		if !errors.Is(bad, commitlog.ErrUnknownTopic) {
			t.Errorf("got %v, want ErrUnknownTopic", bad)
		}
	}
	if _, err := c.Coordinator(ctx, GroupCoordinator, "g"); err != nil {
		t.Error(err)
	}
	before, _ := c.Leader(ctx, "a", 0)
	if err := k.MoveTopicPartition("a", 0, (before.ID+1)%3); err != nil {
		t.Fatal(err)
	}
	if err := c.Refresh(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if after, err := c.Leader(ctx, "a", 0); err != nil || after == before {
		t.Errorf("after the move the leader is still %v, %v", after, err)
	}
	if all, err := c.AllTopics(ctx); err != nil || len(all) != 1 {
		t.Errorf("topics %v, %v", all, err)
	}
}

func lastError[T any](_ T, err error) error { return err }

func TestPipelineKeepsOrder(t *testing.T) {
	k := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(64, "a"))
	c := open(t, quick(k.ListenAddrs()...))
	node, err := c.Leader(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	var reqs []kmsg.Request
	for p := range int32(64) {
		req := kmsg.NewPtrListOffsetsRequest()
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = "a"
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = p, -1
		topic.Partitions = append(topic.Partitions, partition)
		req.Topics = append(req.Topics, topic)
		reqs = append(reqs, req)
	}
	responses, err := c.Pipeline(t.Context(), node, reqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range responses {
		if p := r.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.Partition != int32(i) || p.ErrorCode != 0 {
			t.Fatalf("answer %d is about partition %d, code %d", i, p.Partition, p.ErrorCode)
		}
	}
}

// TestFormatterTrap: kmsg's formatter writes the length of a frame to the start of
// the slice it is given, so two frames must not be formatted into one.
func TestFormatterTrap(t *testing.T) {
	formatter := kmsg.NewRequestFormatter()
	reqs := []kmsg.Request{kmsg.NewPtrMetadataRequest(), kmsg.NewPtrMetadataRequest()}
	x := newExchange(formatter, reqs, 5)
	r := bytes.NewReader(x.out)
	for i := range int32(2) {
		frame, err := readFrame(r)
		if err != nil || int32(binary.BigEndian.Uint32(frame[4:])) != 5+i {
			t.Fatalf("frame %d: %v, %v", i, frame, err)
		}
	}
	if r.Len() != 0 {
		t.Fatalf("%d bytes follow the second frame", r.Len())
	}
	control := formatter.AppendRequest(formatter.AppendRequest(nil, reqs[0], 5), reqs[1], 6)
	if bytes.Equal(control, x.out) {
		t.Error("the formatter has learnt to append: newExchange may be simplified")
	}
}

func TestSilentPeer(t *testing.T) {
	addr := serve(t, func(int16, int16, int32, []byte) []byte { return []byte{} })
	started := time.Now()
	_, err := Open(t.Context(), impatient(addr))
	if !errors.Is(err, commitlog.ErrUnreachable) || !strings.Contains(err.Error(), addr) {
		t.Errorf("got %v, want ErrUnreachable that names %s", err, addr)
	}
	if d := time.Since(started); d > 5*time.Second {
		t.Errorf("gave up after %v, the limit is 0.3 s", d)
	}
}

func TestNoBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	if _, err := Open(t.Context(), impatient(addr)); !errors.Is(err, commitlog.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, quick(addr)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a shorter context: %v", err)
	}
}

// TestSilentTLS: the peer accepts and never shakes hands. kafka-go leaks such a
// connection unless the socket has a deadline of its own.
func TestSilentTLS(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted = append(accepted, conn)
		}
	}()
	cfg := impatient(l.Addr().String())
	cfg.TLS = &tls.Config{InsecureSkipVerify: true}
	if _, err := Open(t.Context(), cfg); !errors.Is(err, commitlog.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	l.Close()
	<-done
	for _, conn := range accepted {
		conn.Close()
	}
}

// TestWrongListener: the peer is no Kafka listener. The error has to help.
func TestWrongListener(t *testing.T) {
	web := serve(t, func(int16, int16, int32, []byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") })
	if _, err := Open(t.Context(), impatient(web)); !errors.Is(err, commitlog.ErrUnreachable) || !strings.Contains(err.Error(), web) {
		t.Errorf("a web server gave %v", err)
	}
	cfg := impatient(web)
	cfg.TLS = &tls.Config{InsecureSkipVerify: true}
	plain := serve(t, func(int16, int16, int32, []byte) []byte { return []byte("no handshake") })
	cfg.Brokers = []string{plain}
	if _, err := Open(t.Context(), cfg); err == nil {
		t.Error("TLS to a plaintext peer succeeded")
	}
}

func TestBadAnswers(t *testing.T) {
	for name, damage := range map[string]func(out []byte) []byte{
		"cut frame":         func(out []byte) []byte { return out[:len(out)-3] },
		"giant frame":       func([]byte) []byte { return []byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0} },
		"negative frame":    func([]byte) []byte { return []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0} },
		"wrong correlation": func(out []byte) []byte { out[7] ^= 0x40; return out },
		"garbage body":      func(out []byte) []byte { return append(out[:8:8], bytes.Repeat([]byte{0xff}, len(out)-8)...) },
		"closed connection": func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			var addr string
			var ready sync.WaitGroup
			ready.Add(1)
			addr = serve(t, func(key, version int16, correlation int32, _ []byte) []byte {
				ready.Wait()
				if key != 10 {
					return greet(key, version, correlation, addr)
				}
				return damage(reply(correlation, &kmsg.FindCoordinatorResponse{Version: version, NodeID: 1, Host: "127.0.0.1", Port: 1}))
			})
			ready.Done()
			cfg := quick(addr)
			cfg.RequestTimeout = time.Second
			c := open(t, cfg)
			node, err := c.Any(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.CallAt(t.Context(), node, 3, kmsg.NewPtrFindCoordinatorRequest())
			var io *IOError
			if !errors.As(err, &io) || io.Node != node || io.Request != "FindCoordinator" {
				t.Errorf("got %v, want an IOError that names node and request", err)
			}
			// The connection is gone and the next call is not disturbed by what it left.
			if err := c.Refresh(t.Context()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestGiantFrameAllocatesLittle: a length is believed only as far as bytes come.
func TestGiantFrameAllocatesLittle(t *testing.T) {
	head := binary.BigEndian.AppendUint32(nil, maxFrame)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readFrame(bytes.NewReader(head)); err == nil {
		t.Fatal("a frame of nothing was read")
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > trustedFrame+1<<20 {
		t.Errorf("%d bytes allocated for 4 bytes", got)
	}
	whole := append(binary.BigEndian.AppendUint32(nil, trustedFrame+5), make([]byte, trustedFrame+5)...)
	if frame, err := readFrame(bytes.NewReader(whole)); err != nil || len(frame) != trustedFrame+5 {
		t.Errorf("%d bytes, %v", len(frame), err)
	}
}

// TestDeadPooledSockets: after a restart all pooled connections are dead. One call
// fails, not one for each of them.
func TestDeadPooledSockets(t *testing.T) {
	k := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "a"))
	proxy := newRestartable(t, k.ListenAddrs()[0])
	c := open(t, quick(proxy.addr))
	node := Node{ID: -1, Addr: proxy.addr}
	var calls sync.WaitGroup
	for range 8 { // so many connections are pooled
		calls.Go(func() {
			if _, err := c.Call(t.Context(), node, metadataRequest(nil)); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	proxy.cut()
	failed := 0
	for range 8 {
		if _, err := c.Call(t.Context(), node, metadataRequest(nil)); err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d calls failed after all connections were cut, want 1", failed)
	}
}

// restartable forwards to a broker and can cut all connections.
type restartable struct {
	addr string
	mu   sync.Mutex
	open []net.Conn
}

func newRestartable(t *testing.T, upstream string) *restartable {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &restartable{addr: l.Addr().String()}
	t.Cleanup(func() { l.Close(); p.cut() })
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", upstream)
			if err != nil {
				down.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, down, up)
			p.mu.Unlock()
			go func() { _, _ = io.Copy(up, down) }()
			go func() { _, _ = io.Copy(down, up) }()
		}
	}()
	return p
}

func (p *restartable) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		c.Close()
	}
	p.open = nil
}

func TestVersionsFallBack(t *testing.T) {
	var addr string
	var ready sync.WaitGroup
	ready.Add(1)
	addr = serve(t, func(key, version int16, correlation int32, _ []byte) []byte {
		ready.Wait()
		if key == apiVersionsKey && version > 2 {
			return reply(correlation, &kmsg.ApiVersionsResponse{ErrorCode: int16(UnsupportedVersion)})
		}
		return greet(key, version, correlation, addr)
	})
	ready.Done()
	c := open(t, quick(addr))
	if v, err := c.Version(kmsg.NewPtrFetchRequest()); err != nil || v != 4 {
		t.Errorf("version %d, %v", v, err)
	}
	if _, err := c.Version(kmsg.NewPtrDeleteRecordsRequest()); err == nil || !strings.Contains(err.Error(), "DeleteRecords") {
		t.Errorf("a request that the broker lacks: %v", err)
	}
}

func TestCloseEndsCalls(t *testing.T) {
	k := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "a"))
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c, err := Open(t.Context(), quick(k.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	node, err := c.Leader(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.SessionEpoch = 20_000, 1, -1
		topic := kmsg.NewFetchRequestTopic()
		info, _ := c.TopicInfo(t.Context(), "a")
		topic.Topic, topic.TopicID = "a", info.ID
		topic.Partitions = append(topic.Partitions, kmsg.NewFetchRequestTopicPartition())
		topic.Partitions[0].PartitionMaxBytes = 1 << 20
		req.Topics = append(req.Topics, topic)
		_, err := c.Call(context.Background(), node, req)
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, commitlog.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Close did not end a long poll")
	}
}

// TestCodeNames compares with another client's table.
func TestCodeNames(t *testing.T) {
	for code := int16(-1); code < 140; code++ {
		if code == 0 {
			continue
		}
		theirs, _ := kerr.ErrorForCode(code).(*kerr.Error)
		ours, ok := codeNames[Code(code)]
		if !ok {
			continue
		}
		if code == 6 {
			continue // they keep the older name, NOT_LEADER_FOR_PARTITION
		}
		if theirs == nil || theirs.Message != ours {
			t.Errorf("%d: %s, they say %v", code, ours, theirs)
		}
		if theirs != nil && Code(code).Retriable() != theirs.Retriable {
			t.Logf("%s: retriable %v here, %v there", ours, Code(code).Retriable(), theirs.Retriable)
		}
	}
	for _, c := range []Code{NotLeader, UnknownTopicID, ProducerFenced, GroupIDNotFound, TransactionAbortable} {
		if codeNames[c] == "" {
			t.Errorf("code %d has no name", c)
		}
	}
	if CodeError(0) != nil {
		t.Error("code 0 is an error")
	}
	if !errors.Is(TopicAuthorizationFailed, commitlog.ErrDenied) || errors.Is(NotLeader, commitlog.ErrDenied) {
		t.Error("codes do not match the errors of the contract")
	}
	if text := Code(999).Error(); text != "Kafka error 999" {
		t.Error(text)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 0, 0, 7, 0, 0, 0}, int16(3))
	f.Add(reply(7, &kmsg.MetadataResponse{Version: 12})[4:], int16(12))
	f.Fuzz(func(t *testing.T, frame []byte, version int16) {
		if len(frame) < 4 {
			return
		}
		for _, r := range []kmsg.Request{kmsg.NewPtrMetadataRequest(), kmsg.NewPtrFetchRequest(), kmsg.NewPtrApiVersionsRequest()} {
			r.SetVersion(min(max(version, 0), r.MaxVersion()))
			_, _ = decode(frame, r, int32(binary.BigEndian.Uint32(frame)))
		}
	})
}
