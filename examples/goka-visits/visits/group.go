package visits

import (
	"github.com/lovoo/goka/codec"

	"github.com/tidemill/tidemill/processor/gokaprocessor"
	"github.com/tidemill/tidemill/state"
)

// Group is the wiring that takes the place of [Graph]. partitions is the number of
// partitions of topics that do not exist yet; 0 takes what is there.
func Group(partitions int32) gokaprocessor.Group {
	return gokaprocessor.Group{
		Name:    group,
		Inputs:  []gokaprocessor.Input{{Topic: clicks, Codec: jsonCodec[Click]{}, Callback: clicked}},
		Loop:    &gokaprocessor.Loop{Codec: jsonCodec[Visit]{}, Callback: visited},
		Persist: jsonCodec[Count]{}, PersistJSON: true,
		Joins:      []gokaprocessor.Table{{Topic: plans, Codec: new(codec.String)}},
		Outputs:    []gokaprocessor.Output{{Topic: milestones, Codec: jsonCodec[Visit]{}}},
		Partitions: partitions,
	}
}

// Counts is the group table, for queries.
var Counts state.KeyValueStore[string, *Count] = gokaprocessor.TableStore[*Count](Group(0))
