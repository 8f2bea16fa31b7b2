package query

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/topology"
)

// TopicInfo describes a topic, as GET /v1/topics lists it.
type TopicInfo struct {
	Name       string `json:"name"`
	Partitions int32  `json:"partitions"`
	Cleanup    string `json:"cleanup"` // delete, compact or compact,delete
	Internal   bool   `json:"internal"`
	// Source and Sink say how the topology uses the topic, Key and Value name its
	// serdes; a topic that the topology does not declare has none.
	Source bool   `json:"source"`
	Sink   bool   `json:"sink"`
	Key    string `json:"key_serde,omitempty"`
	Value  string `json:"value_serde,omitempty"`
}

func (h *handler) listTopics(w http.ResponseWriter, r *http.Request, q params) error {
	internal, err := q.bool("internal")
	if err != nil {
		return err
	}
	topics, err := h.topicInfos(r.Context(), internal)
	if err != nil {
		return err
	}
	return sendJSON(w, http.StatusOK, map[string]any{"topics": topics})
}

func (h *handler) topicInfos(ctx context.Context, internal bool) ([]TopicInfo, error) {
	configs, err := h.backend.Log().Topics(ctx)
	if err != nil {
		return nil, err
	}
	declared := h.declared()
	infos := []TopicInfo{}
	for _, c := range configs {
		info := TopicInfo{Name: c.Name, Partitions: c.Partitions, Cleanup: c.Cleanup.String(), Internal: c.Internal}
		if d := declared[c.Name]; d != nil {
			info.Source, info.Sink, info.Key, info.Value = d.Source, d.Sink, d.KeyName, d.ValueName
			info.Internal = info.Internal || d.Internal
		}
		if internal || !info.Internal {
			infos = append(infos, info)
		}
	}
	slices.SortFunc(infos, func(a, b TopicInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

func (h *handler) declared() map[string]*topology.TopicDecl {
	out := map[string]*topology.TopicDecl{}
	for _, d := range h.backend.Topics() {
		out[d.Name] = d
	}
	return out
}

// topic is a topic of the log as queries see it.
type topic struct {
	commitlog.TopicConfig
	internal   bool
	key, value codec
}

// topicName is what a log may be asked for. It is checked here because a log may
// make a path of the name before it finds that there is no such topic.
var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

func (h *handler) findTopic(r *http.Request) (topic, error) {
	name := r.PathValue("t")
	if !topicName.MatchString(name) || name == "." || name == ".." {
		p := badParameter("topic", "names have 1 to 249 of A-Z a-z 0-9 . _ -")
		return topic{}, p
	}
	cfg, err := h.backend.Log().Topic(r.Context(), name)
	if err != nil {
		p := problemOf(err)
		if p.Code == CodeTopicNotFound {
			p.Topic = name
			return topic{}, p
		}
		return topic{}, fmt.Errorf("topic %s: %w", name, err)
	}
	t := topic{TopicConfig: cfg, internal: cfg.Internal, key: codecOf("", nil), value: codecOf("", nil)}
	if d := h.declared()[name]; d != nil {
		t.internal = t.internal || d.Internal
		t.key, t.value = codecOf(d.KeyName, d.KeySerde), codecOf(d.ValueName, d.ValueSerde)
	}
	return t, nil
}
