package gokaprocessor

import (
	"github.com/tidemill/tidemill/processor/gokaprocessor/gokacodec"
	"github.com/tidemill/tidemill/state"
)

// TableStore is the group table for queries and tests, with the type of its
// values: what a goka view of it was. Callbacks of the group go on to use their
// context.
func TableStore[V any](g Group) state.KeyValueStore[string, V] {
	value := gokacodec.Serde[V](codecName(g.Persist), g.Persist)
	return state.KeyValue(g.TableTopic(), keys, value).ChangelogTopic(g.TableTopic())
}
