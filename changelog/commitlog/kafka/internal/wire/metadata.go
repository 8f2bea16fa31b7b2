package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// TopicInfo is what the metadata say about a topic.
type TopicInfo struct {
	Name       string
	ID         [16]byte // zero on brokers without topic ids
	Partitions int32
	Internal   bool    // one of Kafka's own
	Leaders    []int32 // broker ids by partition, -1 while there is none
}

// HasID reports whether the broker gave the topic an id.
func (t TopicInfo) HasID() bool { return t.ID != [16]byte{} }

// TopicInfo returns the metadata of a topic, cached. Errors:
// commitlog.ErrUnknownTopic, commitlog.ErrDenied, and those of Refresh.
func (c *Client) TopicInfo(ctx context.Context, topic string) (TopicInfo, error) {
	if info, ok := c.cachedTopic(topic); ok {
		return info, nil
	}
	if err := c.Refresh(ctx, topic); err != nil {
		return TopicInfo{}, err
	}
	info, ok := c.cachedTopic(topic)
	if !ok {
		return TopicInfo{}, fmt.Errorf("%w: topic %s does not exist", commitlog.ErrUnknownTopic, topic)
	}
	return info, nil
}

func (c *Client) cachedTopic(topic string) (TopicInfo, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, ok := c.mu.topics[topic]
	return info, ok
}

// TopicName returns the name of a topic id in the cached metadata.
func (c *Client) TopicName(id [16]byte) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, ok := c.mu.names[id]
	return name, ok
}

// Leader returns the broker that leads a partition, from the cached metadata; a
// partition that has no leader is waited for. Errors: commitlog.ErrUnknownTopic,
// also for a partition that the topic does not have.
func (c *Client) Leader(ctx context.Context, topic string, partition int32) (Node, error) {
	var backoff *Backoff
	for {
		info, err := c.TopicInfo(ctx, topic)
		if err != nil {
			return Node{}, err
		}
		if partition < 0 || partition >= info.Partitions {
			return Node{}, fmt.Errorf("%w: topic %s has %d partitions, there is no partition %d", commitlog.ErrUnknownTopic, topic, info.Partitions, partition)
		}
		if node, ok := c.NodeByID(info.Leaders[partition]); ok {
			return node, nil
		}
		if backoff == nil {
			backoff = c.Backoff(fmt.Sprintf("find the leader of %s-%d", topic, partition))
		}
		if err := backoff.Wait(ctx, LeaderNotAvailable); err != nil {
			return Node{}, err
		}
		if err := c.Refresh(ctx, topic); err != nil {
			return Node{}, err
		}
	}
}

// NodeByID returns a broker of the cached metadata, false if there is none of
// this id (which is how Kafka says that a partition has no leader: id -1).
func (c *Client) NodeByID(id int32) (Node, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.mu.nodes[id]
	return n, ok
}

// Nodes returns all brokers in the order of their ids.
func (c *Client) Nodes() []Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	nodes := make([]Node, 0, len(c.mu.nodes))
	for _, n := range c.mu.nodes {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return int(a.ID) - int(b.ID) })
	return nodes
}

// Controller returns the broker that takes administrative requests.
func (c *Client) Controller(ctx context.Context) (Node, error) {
	if n, ok := c.controller(); ok {
		return n, nil
	}
	if err := c.Refresh(ctx); err != nil {
		return Node{}, err
	}
	if n, ok := c.controller(); ok {
		return n, nil
	}
	return c.Any(ctx) // any broker of a newer cluster forwards to the controller
}

func (c *Client) controller() (Node, bool) {
	c.mu.Lock()
	id := c.mu.control
	c.mu.Unlock()
	return c.NodeByID(id)
}

// Refresh asks for the brokers, the controller, and the metadata of topics, and
// replaces what is cached of them; topics that are not named stay as they are.
// It asks one broker after the other, and goes on until one answers or the time
// to give up is over (commitlog.ErrUnreachable). A topic that is gone leaves the
// cache; that is no error here.
func (c *Client) Refresh(ctx context.Context, topics ...string) error {
	return c.metadata(ctx, append([]string{}, topics...))
}

// AllTopics returns all topics by name, Kafka's own excluded.
func (c *Client) AllTopics(ctx context.Context) ([]TopicInfo, error) {
	if err := c.metadata(ctx, nil); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []TopicInfo
	for _, info := range c.mu.topics {
		if !info.Internal {
			all = append(all, info)
		}
	}
	slices.SortFunc(all, func(a, b TopicInfo) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all, nil
}

// metadata asks for topics; nil is all of them, empty none.
func (c *Client) metadata(ctx context.Context, topics []string) error {
	backoff := c.Backoff("ask for metadata")
	for {
		candidates, err := c.candidates()
		if err != nil {
			return err
		}
		for _, node := range candidates {
			var response kmsg.Response
			if response, err = c.Call(ctx, node, metadataRequest(topics)); err == nil {
				return c.learn(topics, response.(*kmsg.MetadataResponse))
			}
			if ctx.Err() != nil || lasting(err) {
				break
			}
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return err
		}
	}
}

func metadataRequest(topics []string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	if topics != nil {
		req.Topics = []kmsg.MetadataRequestTopic{}
	}
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	return req
}

// learn takes an answer over into the cache.
func (c *Client) learn(asked []string, r *kmsg.MetadataResponse) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.ClusterID != nil {
		c.mu.clusterID = *r.ClusterID
	}
	c.mu.control = r.ControllerID
	clear(c.mu.nodes)
	for _, b := range r.Brokers {
		c.mu.nodes[b.NodeID] = Node{ID: b.NodeID, Addr: net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))}
	}
	var failed error
	for i := range r.Topics {
		failed = errors.Join(failed, c.learnTopicLocked(&r.Topics[i]))
	}
	if asked == nil {
		c.forgetOthersLocked(r.Topics)
	}
	return failed
}

func (c *Client) learnTopicLocked(t *kmsg.MetadataResponseTopic) error {
	if t.Topic == nil {
		return nil
	}
	name := *t.Topic
	switch code := Code(t.ErrorCode); code {
	case 0, LeaderNotAvailable:
	case UnknownTopicOrPartition, UnknownTopicID:
		c.forgetTopicLocked(name)
		return nil
	default:
		return fmt.Errorf("describe topic %s: %w", name, code)
	}
	info := TopicInfo{Name: name, ID: t.TopicID, Internal: t.IsInternal, Leaders: make([]int32, len(t.Partitions))}
	info.Partitions = int32(len(t.Partitions))
	for _, p := range t.Partitions {
		if p.Partition < 0 || p.Partition >= info.Partitions {
			return fmt.Errorf("%w: topic %s of %d partitions has one numbered %d", errFrame, name, info.Partitions, p.Partition)
		}
		info.Leaders[p.Partition] = p.Leader
	}
	c.forgetTopicLocked(name)
	if info.Partitions == 0 {
		return nil // it is being made
	}
	c.mu.topics[name] = info
	if info.HasID() {
		c.mu.names[info.ID] = name
	}
	return nil
}

func (c *Client) forgetTopicLocked(name string) {
	delete(c.mu.names, c.mu.topics[name].ID)
	delete(c.mu.topics, name)
}

// forgetOthersLocked drops cached topics that a complete listing does not have.
func (c *Client) forgetOthersLocked(listed []kmsg.MetadataResponseTopic) {
	there := make(map[string]bool, len(listed))
	for _, t := range listed {
		if t.Topic != nil {
			there[*t.Topic] = true
		}
	}
	for name := range c.mu.topics {
		if !there[name] {
			c.forgetTopicLocked(name)
		}
	}
}
