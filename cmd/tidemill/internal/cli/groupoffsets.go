package cli

import (
	"cmp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
)

func newGroup(env Env) *cobra.Command {
	return group("group", "Look at groups of a Kafka cluster.", newGroupDescribe(env))
}

// groupOffset is the position of a group in a partition, as it is printed.
type groupOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	End       int64  `json:"end_offset"`
	Lag       int64  `json:"lag"`
}

func newGroupDescribe(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "describe GROUP", Short: "Show how far a group is.", Args: exactArgs("GROUP"),
		Long: `Show the committed offsets of a group and how far they are behind. The group of an
application has its name.`,
		Example: "  tidemill group describe meter-average --kafka 127.0.0.1:9092"}
	k, out := addCluster(cmd, env), addFormat(cmd, formatTable, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var rows []groupOffset
		err := k.use(cmd.Context(), func(log *kafka.Log) error {
			offsets, err := log.GroupOffsets(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			for tp, at := range offsets {
				bounds, err := log.Bounds(cmd.Context(), tp)
				if err != nil {
					return err
				}
				rows = append(rows, groupOffset{tp.Topic, tp.Partition, at.Offset, bounds.StableEnd, max(0, bounds.StableEnd-at.Offset)})
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return notFoundf("group %s has no committed offsets", args[0])
		}
		slices.SortFunc(rows, func(a, b groupOffset) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		if out.value == formatJSON {
			return writeJSON(env.Stdout, rows)
		}
		g := grid{header: []any{"topic", "partition", "offset", "end", "lag"}}
		for _, r := range rows {
			g.add(r.Topic, r.Partition, r.Offset, r.End, r.Lag)
		}
		return g.write(env.Stdout)
	}
	return cmd
}
