package topology

import (
	"maps"
	"slices"

	"github.com/tidemill/tidemill/state"
)

// checkChangelogs finds changelog topics chosen by name that something else of the
// topology writes: their rows would be mixed with what is not the store's.
func (b *Builder) checkChangelogs() {
	owner := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(b.stores)) {
		topic := b.stores[name].spec.Changelog
		if topic == "" {
			continue
		}
		if err := state.CheckName(topic); err != nil {
			b.fail(name, "ChangelogTopic: %v", err)
		}
		if other, taken := owner[topic]; taken {
			b.fail(name, "its changelog topic %s is that of store %s too; give each store its own", topic, other)
		}
		owner[topic] = name
		if b.topics[topic] != nil {
			b.fail(name, "its changelog topic %s is also used as a topic of the topology; only the store may write it, "+
				"and another application may read it as a table", topic)
		}
	}
}
