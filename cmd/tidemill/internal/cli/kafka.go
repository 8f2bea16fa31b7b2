package cli

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/examples/kafkaflags"
)

// kafkaGiveUp is how long a command goes on while no broker answers: somebody is
// waiting for it.
const kafkaGiveUp = 10 * time.Second

// cluster is a Kafka cluster that a command may work on.
type cluster struct {
	env   Env
	flags kafkaflags.Flags
}

// addCluster gives a command the flags that say where the cluster is.
func addCluster(cmd *cobra.Command, env Env) *cluster {
	c := &cluster{env: env, flags: kafkaflags.Flags{Dash: "--", GiveUp: kafkaGiveUp}}
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.flags.Register(fs)
	cmd.Flags().AddGoFlagSet(fs)
	return c
}

// addReplicas adds the flags about topics that a command creates.
func (c *cluster) addReplicas(cmd *cobra.Command) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.flags.RegisterReplicas(fs)
	cmd.Flags().AddGoFlagSet(fs)
}

// use runs something on the cluster, which has to be named.
func (c *cluster) use(ctx context.Context, do func(*kafka.Log) error) (err error) {
	cfg, err := c.flags.Config()
	switch {
	case err != nil:
		return usagef("%w", err)
	case cfg == nil:
		return usagef("--kafka is missing: name the brokers, as in --kafka 127.0.0.1:9092")
	}
	cfg.Logger = slog.New(slog.NewTextHandler(c.env.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	log, err := kafka.Open(ctx, *cfg)
	if err != nil {
		return clusterError(err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return clusterError(do(log))
}

// clusterError gives an error of the driver the exit code that it means.
func clusterError(err error) error {
	switch {
	case errors.Is(err, commitlog.ErrUnreachable):
		return unhealthyf("%w", err)
	case errors.Is(err, commitlog.ErrUnknownTopic):
		return notFoundf("%w", err)
	}
	return err
}
