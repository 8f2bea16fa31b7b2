package kafkatest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The requests of this file go over a connection of their own, one at a time: a
// broker for tests must not be judged by the driver under test.

// requestPatience bounds one request, so that a silent broker is asked again.
const requestPatience = 5 * time.Second

// maxAnswer bounds an answer; those asked for here are a few kilobytes.
const maxAnswer = 1 << 20

// ready asks what a client asks first, and returns nil if the answers are those
// of a running cluster with this id.
func ready(ctx context.Context, addr, clusterID string) error {
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.ClientSoftwareName, versions.ClientSoftwareVersion = "tidemill", "test"
	answer, err := ask(ctx, addr, 3, versions)
	if err != nil {
		return err
	}
	if code := answer.(*kmsg.ApiVersionsResponse).ErrorCode; code != 0 {
		return fmt.Errorf("%s answers ApiVersions with error %d", addr, code)
	}
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Topics = []kmsg.MetadataRequestTopic{}
	if answer, err = ask(ctx, addr, 12, metadata); err != nil {
		return err
	}
	m := answer.(*kmsg.MetadataResponse)
	switch {
	case m.ClusterID == nil || *m.ClusterID != clusterID:
		return fmt.Errorf("%s is another cluster", addr)
	case len(m.Brokers) != 1 || m.ControllerID < 0:
		return fmt.Errorf("%s knows %d brokers, and the controller %d", addr, len(m.Brokers), m.ControllerID)
	}
	return nil
}

// CreateTopic creates a topic with the settings of Kafka's topic configuration,
// as {"cleanup.policy": "compact"}, on the broker at host:port. A topic that is
// there already is an error that wraps ErrTopicExists.
func CreateTopic(ctx context.Context, addr, name string, partitions int32, settings map[string]string) error {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, -1
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, kmsg.StringPtr(settings[key])
		topic.Configs = append(topic.Configs, c)
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis = int32(requestPatience.Milliseconds())
	create.Topics = append(create.Topics, topic)
	answer, err := ask(ctx, addr, 7, create)
	if err != nil {
		return fmt.Errorf("create topic %q: %w", name, err)
	}
	for _, t := range answer.(*kmsg.CreateTopicsResponse).Topics {
		if t.ErrorCode == topicAlreadyExists {
			return fmt.Errorf("create topic %q: %w", name, ErrTopicExists)
		}
		if t.ErrorCode != 0 {
			return fmt.Errorf("create topic %q with %d partitions: %s answers error %d: %s", name, partitions, addr, t.ErrorCode, text(t.ErrorMessage))
		}
	}
	return nil
}

// ErrTopicExists says that the topic to be created is there.
var ErrTopicExists = errors.New("the topic exists")

const topicAlreadyExists = 36

func text(s *string) string {
	if s == nil {
		return "(no text)"
	}
	return *s
}

// ask sends one request over a fresh connection.
func ask(ctx context.Context, addr string, version int16, r kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	r.SetVersion(version)
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("kafkatest")).AppendRequest(nil, r, 1)); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	frame, err := readFrame(conn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, errors.Join(ctx.Err(), err))
	}
	answer := r.ResponseKind()
	if err := answer.ReadFrom(skipHeader(r, frame)); err != nil {
		return nil, fmt.Errorf("%s gives an answer that cannot be read: %w", addr, err)
	}
	return answer, nil
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 5 || n > maxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes; is this a Kafka listener without TLS?", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

// skipHeader drops the correlation id, and the byte of an empty tag list that
// flexible answers have, except those to ApiVersions.
func skipHeader(r kmsg.Request, frame []byte) []byte {
	if r.IsFlexible() && r.Key() != int16(kmsg.ApiVersions) {
		return frame[5:]
	}
	return frame[4:]
}
