package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
)

// txnRepair ends hanging transactions.
type txnRepair struct {
	env      Env
	out      *choice
	producer int64
	dryRun   bool
	yes      bool
}

func newTxnRepair(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "repair", Short: "End transactions that hang.", Args: exactArgs(),
		Long: `End the transactions that hang on a Kafka cluster, the way that their coordinator
had decided, by writing the markers that it has forgotten.

What would be done is shown first. Nothing is done before the id of the producer has
been typed, or with --yes. With --dry-run it ends there. It needs the permission
CLUSTER_ACTION on the cluster.`,
		Example: "  tidemill txn repair --kafka 127.0.0.1:9092 --dry-run"}
	k := addCluster(cmd, env)
	r := &txnRepair{env: env, out: addFormat(cmd, formatText, formatJSON)}
	flags := cmd.Flags()
	flags.Int64Var(&r.producer, "producer", -1, "only transactions of the producer with this `id`")
	flags.BoolVar(&r.dryRun, "dry-run", false, "only show what would be done")
	flags.BoolVar(&r.yes, "yes", false, "do it without asking")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if r.out.value == formatJSON && !r.dryRun && !r.yes {
			return usagef("-o json cannot ask: add --dry-run or --yes")
		}
		if r.dryRun && r.yes {
			return usagef("--dry-run and --yes exclude each other")
		}
		return k.use(cmd.Context(), func(log *kafka.Log) error { return r.run(cmd.Context(), log) })
	}
	return cmd
}

// repaired is a plan, as it is printed.
type repaired struct {
	Producer   int64             `json:"producer_id"`
	Epoch      int16             `json:"producer_epoch"`
	Decision   string            `json:"decision"` // commit or abort
	Reason     string            `json:"reason"`
	Partitions []openTransaction `json:"partitions"`
	Done       bool              `json:"done"`
}

func (r *txnRepair) run(ctx context.Context, log *kafka.Log) error {
	hanging, err := hangingOf(ctx, log, r.producer)
	if err != nil {
		return err
	}
	answers := bufio.NewReader(r.env.Stdin)
	all := []repaired{}
	for _, t := range hanging {
		plan, err := log.Repair(ctx, t, true)
		if errors.Is(err, kafka.ErrNotHanging) {
			continue // it has ended in the meantime
		}
		if err != nil {
			return err
		}
		done, err := r.repair(ctx, log, t, plan, answers)
		if err != nil {
			return err
		}
		all = append(all, shownPlan(plan, done))
	}
	if r.out.value == formatJSON {
		return writeJSON(r.env.Stdout, all)
	}
	if len(all) == 0 {
		r.say("no transaction hangs\n")
	}
	return nil
}

// repair shows a plan, asks, and carries it out.
func (r *txnRepair) repair(ctx context.Context, log *kafka.Log, t kafka.Transaction, plan kafka.Plan, answers *bufio.Reader) (done bool, err error) {
	r.say("%s\n", plan)
	if r.dryRun {
		return false, nil
	}
	if !r.yes {
		r.say("Type the id of the producer to go on: ")
		answer, err := answers.ReadString('\n')
		if err != nil && err != io.EOF {
			return false, err
		}
		if strings.TrimSpace(answer) != strconv.FormatInt(plan.ProducerID, 10) {
			return false, errors.New("not confirmed; nothing was done about it")
		}
	}
	if _, err := log.Repair(ctx, t, false); err != nil {
		return false, err
	}
	r.say("done\n")
	return true, nil
}

// say is for people only.
func (r *txnRepair) say(format string, args ...any) {
	if r.out.value == formatText {
		fmt.Fprintf(r.env.Stdout, format, args...)
	}
}

func shownPlan(p kafka.Plan, done bool) repaired {
	out := repaired{Producer: p.ProducerID, Epoch: p.Epoch, Decision: "abort", Reason: p.Reason, Done: done}
	if p.Commit {
		out.Decision = "commit"
	}
	for _, t := range p.Partitions {
		out.Partitions = append(out.Partitions, shownTransaction(t))
	}
	return out
}
