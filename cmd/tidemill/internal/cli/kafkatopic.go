package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/runtime/query"
)

// topics lists the topics of the cluster, as an application would.
func (c *cluster) topics(ctx context.Context, internal bool) (infos []query.TopicInfo, err error) {
	err = c.use(ctx, func(log *kafka.Log) error {
		configs, err := log.Topics(ctx)
		infos = []query.TopicInfo{}
		for _, t := range configs {
			if internal || !t.Internal {
				infos = append(infos, query.TopicInfo{Name: t.Name, Partitions: t.Partitions, Cleanup: t.Cleanup.String(), Internal: t.Internal})
			}
		}
		return err
	})
	return infos, err
}

// topicDescription is a topic with what its partitions hold.
type topicDescription struct {
	Name       string           `json:"name"`
	Cleanup    string           `json:"cleanup"`
	Retention  string           `json:"retention,omitempty"`
	Bytes      int64            `json:"retention_bytes,omitempty"`
	Internal   bool             `json:"internal"`
	Partitions []partitionState `json:"partitions"`
}

type partitionState struct {
	Partition int32 `json:"partition"`
	Start     int64 `json:"start_offset"`
	End       int64 `json:"end_offset"`
}

func newTopicDescribe(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "describe TOPIC", Short: "Describe a topic of a Kafka cluster.", Args: exactArgs("TOPIC"),
		Long: `Describe a topic of a Kafka cluster: what it forgets, and which offsets each partition
holds. The end is one past the last committed record.`}
	k, out := addCluster(cmd, env), addFormat(cmd, formatTable, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var d topicDescription
		err := k.use(cmd.Context(), func(log *kafka.Log) (err error) {
			d, err = describeTopic(cmd.Context(), log, args[0])
			return err
		})
		if err != nil {
			return err
		}
		if out.value == formatJSON {
			return writeJSON(env.Stdout, d)
		}
		return d.write(env)
	}
	return cmd
}

func describeTopic(ctx context.Context, log *kafka.Log, name string) (d topicDescription, err error) {
	cfg, err := log.Topic(ctx, name)
	if err != nil {
		return d, err
	}
	d = topicDescription{Name: name, Cleanup: cfg.Cleanup.String(), Bytes: cfg.RetentionBytes, Internal: cfg.Internal}
	if cfg.RetentionTime > 0 {
		d.Retention = cfg.RetentionTime.String()
	}
	for p := range cfg.Partitions {
		bounds, err := log.Bounds(ctx, commitlog.TopicPartition{Topic: name, Partition: p})
		if err != nil {
			return d, err
		}
		d.Partitions = append(d.Partitions, partitionState{p, bounds.Start, bounds.StableEnd})
	}
	return d, nil
}

func (d topicDescription) write(env Env) error {
	kept := "everything is kept"
	switch {
	case d.Retention != "" && d.Bytes > 0:
		kept = fmt.Sprintf("kept for %s and %d bytes a partition", d.Retention, d.Bytes)
	case d.Retention != "":
		kept = "kept for " + d.Retention
	case d.Bytes > 0:
		kept = fmt.Sprintf("%d bytes a partition are kept", d.Bytes)
	}
	if _, err := fmt.Fprintf(env.Stdout, "%s: cleanup %s, %s\n\n", d.Name, d.Cleanup, kept); err != nil {
		return err
	}
	g := grid{header: []any{"partition", "start", "end"}}
	for _, p := range d.Partitions {
		g.add(p.Partition, p.Start, p.End)
	}
	return g.write(env.Stdout)
}

func newTopicCreate(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create TOPIC", Short: "Create a topic of a Kafka cluster.", Args: exactArgs("TOPIC"),
		Long: `Create a topic of a Kafka cluster. One that exists with the same configuration is
success; otherwise what differs is named.`,
		Example: "  tidemill topic create meter-readings --partitions 4 --kafka 127.0.0.1:9092",
	}
	k := addCluster(cmd, env)
	k.addReplicas(cmd)
	cfg := commitlog.TopicConfig{}
	flags := cmd.Flags()
	flags.Int32Var(&cfg.Partitions, "partitions", 0, "`number` of partitions")
	flags.DurationVar(&cfg.RetentionTime, "retention", 0, "how long records are kept, as 168h (default for ever)")
	compact := flags.Bool("compact", false, "keep the newest record of each key, instead of all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg.Name = args[0]
		switch {
		case cfg.Partitions < 1:
			return usagef("--partitions is %d: want at least 1", cfg.Partitions)
		case cfg.RetentionTime < 0 || cfg.RetentionTime%time.Millisecond != 0:
			return usagef("--retention is %v: want whole milliseconds", cfg.RetentionTime)
		case *compact && cfg.RetentionTime > 0:
			return usagef("--compact and --retention exclude each other")
		case *compact:
			cfg.Cleanup = commitlog.CleanupCompact
		}
		return k.use(cmd.Context(), func(log *kafka.Log) error {
			if err := log.CreateTopic(cmd.Context(), cfg); err != nil {
				return err
			}
			_, err := fmt.Fprintf(env.Stdout, "topic %s with %d partitions is there\n", cfg.Name, cfg.Partitions)
			return err
		})
	}
	return cmd
}
