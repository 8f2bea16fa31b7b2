package visits

import (
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
)

// Group and topics.
const (
	group      goka.Group  = "visits"
	clicks     goka.Stream = "clicks"
	milestones goka.Stream = "page-milestones"
	plans      goka.Table  = "user-plans"
)

// Graph is the wiring of the goka program. It is kept for the tests, which run
// both.
func Graph() *goka.GroupGraph {
	return goka.DefineGroup(group,
		goka.Input(clicks, jsonCodec[Click]{}, clicked),
		goka.Loop(jsonCodec[Visit]{}, visited),
		goka.Persist(jsonCodec[Count]{}),
		goka.Join(plans, new(codec.String)),
		goka.Output(milestones, jsonCodec[Visit]{}),
	)
}
