package embedded

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// state is what the journal says, up to pos. Recovery and the running log change
// it through apply only, so that both come to the same.
type state struct {
	pos     position
	topics  map[string]*topic
	byID    map[uint64]*topic
	nextID  uint64 // of the next topic
	writers map[string]writerRecord
	groups  map[string]map[commitlog.TopicPartition]commitlog.GroupOffset
	tail    tail
}

type topic struct {
	id         uint64
	config     commitlog.TopicConfig
	partitions []*partition
	// gone is set under the order lock when the deletion is in the journal, so
	// that no later commit reaches the topic.
	gone bool
}

func newState() *state {
	return &state{
		topics:  map[string]*topic{},
		byID:    map[uint64]*topic{},
		nextID:  1,
		writers: map[string]writerRecord{},
		groups:  map[string]map[commitlog.TopicPartition]commitlog.GroupOffset{},
	}
}

// apply makes a durable entry visible. partChunks are the chunks of the parts of
// a commit, with their base offsets set. An error means that the journal
// contradicts itself.
func (s *state) apply(e *entry, partChunks []chunk) error {
	switch e.kind {
	case entryCommit:
		for _, chunks := range [2][]chunk{partChunks, e.chunks} {
			for _, c := range chunks {
				if err := s.appendChunk(c); err != nil {
					return err
				}
			}
		}
		for _, o := range e.offsets {
			s.setOffset(o)
		}
	case entryCreateTopic:
		return s.addTopic(e.topicID, e.config)
	case entryDeleteTopic:
		s.removeTopic(e.topicID)
	case entryOpenWriter:
		s.writers[e.writer.id] = e.writer
	}
	return nil
}

// appendChunk adds batches to a partition. A topic that is unknown was deleted
// between the commit and now; its data went with it.
func (s *state) appendChunk(c chunk) error {
	t := s.byID[c.topic]
	if t == nil {
		return nil
	}
	if int(c.partition) >= len(t.partitions) {
		return fmt.Errorf("%w: a commit names partition %d of topic %s, which has %d", errDecode, c.partition, t.config.Name, len(t.partitions))
	}
	p := t.partitions[c.partition]
	if c.base != p.end {
		return fmt.Errorf("%w: a commit appends at offset %d of %s, which ends at %d", errDecode, c.base, p, p.end)
	}
	next, err := nextOffset(c.raw, c.base)
	if err != nil {
		return fmt.Errorf("batches for %s: %w", p, err)
	}
	if t.config.KeepLatest {
		if err := p.keepLatest(c.raw); err != nil {
			return fmt.Errorf("records for %s: %w", p, err)
		}
	}
	s.tail.add(p, stored{base: c.base, next: next, raw: c.raw})
	return nil
}

// nextOffset walks whole batches that start at base.
func nextOffset(raw []byte, base int64) (int64, error) {
	for len(raw) > 0 {
		b, rest, err := recordbatch.Parse(raw)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errDecode, err)
		}
		if b.BaseOffset != base {
			return 0, fmt.Errorf("%w: a batch has base offset %d where %d is next", errDecode, b.BaseOffset, base)
		}
		base, raw = b.NextOffset(), rest
	}
	return base, nil
}

func (s *state) setOffset(o groupOffset) {
	g := s.groups[o.group]
	if g == nil {
		g = map[commitlog.TopicPartition]commitlog.GroupOffset{}
		s.groups[o.group] = g
	}
	g[o.tp] = o.at
}

func (s *state) addTopic(id uint64, cfg commitlog.TopicConfig) error {
	if s.topics[cfg.Name] != nil || s.byID[id] != nil {
		return fmt.Errorf("%w: topic %s (id %d) is created twice", errDecode, cfg.Name, id)
	}
	t := &topic{id: id, config: cfg}
	for i := range cfg.Partitions {
		t.partitions = append(t.partitions, newPartition(t, i))
	}
	s.topics[cfg.Name], s.byID[id] = t, t
	s.nextID = max(s.nextID, id+1)
	return nil
}

// removeTopic forgets a topic and, as Kafka does, what groups committed for it.
func (s *state) removeTopic(id uint64) {
	t := s.byID[id]
	if t == nil {
		return
	}
	delete(s.byID, id)
	delete(s.topics, t.config.Name)
	for name, g := range s.groups {
		for tp := range g {
			if tp.Topic == t.config.Name {
				delete(g, tp)
			}
		}
		if len(g) == 0 {
			delete(s.groups, name)
		}
	}
	for _, p := range t.partitions {
		s.tail.drop(p)
	}
}

func (s *state) partition(tp commitlog.TopicPartition) (*partition, error) {
	t := s.topics[tp.Topic]
	if t == nil {
		return nil, fmt.Errorf("%w: topic %s does not exist; create it first", commitlog.ErrUnknownTopic, tp.Topic)
	}
	if tp.Partition < 0 || int(tp.Partition) >= len(t.partitions) {
		return nil, fmt.Errorf("%w: topic %s has %d partitions, there is no %d", commitlog.ErrUnknownTopic, tp.Topic, len(t.partitions), tp.Partition)
	}
	return t.partitions[tp.Partition], nil
}

// sortedTopics returns the topics by name.
func (s *state) sortedTopics() []*topic {
	topics := make([]*topic, 0, len(s.topics))
	for _, t := range s.topics {
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b *topic) int { return strings.Compare(a.config.Name, b.config.Name) })
	return topics
}
