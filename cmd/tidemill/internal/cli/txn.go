package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
)

func newTxn(env Env) *cobra.Command {
	return group("txn", "Look at open transactions of a Kafka cluster, and end those that hang.", newTxnList(env), newTxnRepair(env))
}

// openTransaction is a transaction on one partition, as it is printed.
type openTransaction struct {
	Topic           string  `json:"topic"`
	Partition       int32   `json:"partition"`
	Start           int64   `json:"start_offset"`
	Producer        int64   `json:"producer_id"`
	Epoch           int16   `json:"producer_epoch"`
	TransactionalID string  `json:"transactional_id"`
	State           string  `json:"coordinator_state"`
	Seconds         float64 `json:"age_seconds"`
	Hanging         bool    `json:"hanging"`
}

func shownTransaction(t kafka.Transaction) openTransaction {
	return openTransaction{Topic: t.Topic, Partition: t.Partition, Start: t.StartOffset, Producer: t.ProducerID, Epoch: t.Epoch,
		TransactionalID: t.TransactionalID, State: t.State, Seconds: t.Age.Seconds(), Hanging: t.Hanging}
}

func newTxnList(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List open transactions.", Args: exactArgs(),
		Long: `List the transactions that are open on the partitions of a Kafka cluster. Nobody
reads past the first offset of an open one. One that hangs will be ended by nobody:
its coordinator takes it for done. 'tidemill txn repair' ends it.`}
	k, out := addCluster(cmd, env), addFormat(cmd, formatTable, formatJSON)
	hanging := cmd.Flags().Bool("hanging", false, "only those that hang")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		open := []openTransaction{}
		err := k.use(cmd.Context(), func(log *kafka.Log) error {
			all, err := log.Transactions(cmd.Context())
			for _, t := range all {
				if t.Hanging || !*hanging {
					open = append(open, shownTransaction(t))
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		if out.value == formatJSON {
			return writeJSON(env.Stdout, open)
		}
		g := grid{header: []any{"topic", "partition", "start", "producer", "epoch", "transactional id", "state", "age", "hanging"}}
		for _, t := range open {
			age := time.Duration(t.Seconds * float64(time.Second)).Round(time.Second)
			g.add(t.Topic, t.Partition, t.Start, t.Producer, t.Epoch, printable(t.TransactionalID), t.State, age, t.Hanging)
		}
		return g.write(env.Stdout)
	}
	return cmd
}

// hangingOf are the transactions that hang, one of each producer epoch: a repair
// ends all that belong to it.
func hangingOf(ctx context.Context, log *kafka.Log, producer int64) ([]kafka.Transaction, error) {
	type identity struct {
		producer int64
		epoch    int16
	}
	open, err := log.Transactions(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[identity]bool{}
	var out []kafka.Transaction
	for _, t := range open {
		id := identity{t.ProducerID, t.Epoch}
		if t.Hanging && !seen[id] && (producer < 0 || producer == t.ProducerID) {
			seen[id] = true
			out = append(out, t)
		}
	}
	return out, nil
}
