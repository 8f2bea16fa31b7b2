package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/runtime/query"
)

func newTopic(env Env) *cobra.Command {
	return group("topic", "Look at the topics of a running application or of a Kafka cluster.",
		newTopicCreate(env), newTopicDescribe(env), newTopicList(env), newTopicRead(env))
}

// maxPage is the most rows that the application gives at a time.
const maxPage = 10_000

// oneOf refuses a command that names both an application and a cluster, or half of
// a cluster.
func oneOf(cmd *cobra.Command, c *cluster) error {
	if !c.flags.Given() {
		if _, err := c.flags.Config(); err != nil {
			return usagef("%w", err)
		}
		return nil
	}
	if cmd.Flags().Changed("addr") || cmd.Flags().Changed("token-file") {
		return usagef("--kafka is for a cluster, --addr and --token-file for an application: choose one")
	}
	return nil
}

func newTopicList(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List topics.", Args: exactArgs(),
		Long: "List the topics of a running application, or with --kafka of a cluster."}
	c, k, out := addClient(cmd), addCluster(cmd, env), addFormat(cmd, formatTable, formatJSON)
	internal := cmd.Flags().Bool("internal", false, "also changelogs and other topics of the engine's own")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := oneOf(cmd, k); err != nil {
			return err
		}
		list := func() ([]query.TopicInfo, error) { return c.topics(cmd.Context(), *internal) }
		if k.flags.Given() {
			list = func() ([]query.TopicInfo, error) { return k.topics(cmd.Context(), *internal) }
		}
		topics, err := list()
		if err != nil {
			return err
		}
		if out.value == formatJSON {
			return writeJSON(env.Stdout, topics)
		}
		g := grid{header: []any{"name", "partitions", "cleanup", "use", "key", "value"}}
		for _, t := range topics {
			g.add(t.Name, t.Partitions, t.Cleanup, topicUse(t), t.Key, t.Value)
		}
		return g.write(env.Stdout)
	}
	return cmd
}

func (c *client) topics(ctx context.Context, internal bool) ([]query.TopicInfo, error) {
	var answer struct {
		Topics []query.TopicInfo `json:"topics"`
	}
	err := c.get(ctx, "/v1/topics", url.Values{"internal": {strconv.FormatBool(internal)}}, &answer)
	return answer.Topics, err
}

func topicUse(t query.TopicInfo) string {
	switch {
	case t.Internal:
		return "internal"
	case t.Source && t.Sink:
		return "source, sink"
	case t.Source:
		return "source"
	case t.Sink:
		return "sink"
	}
	return ""
}

type topicRead struct {
	*client
	cluster   *cluster
	name      string
	partition int32
	offset    string
	limit     int
}

func newTopicRead(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "read TOPIC", Short: "Print the committed records of a topic.", Args: exactArgs("TOPIC"),
		Long: `Print the committed records of a topic, partition by partition. As JSON each record
is a line. An application decodes keys and values; of a cluster's topics they are
shown as text, and as base64 where they are none.`,
		Example: `  tidemill topic read meter-hourly-average --offset -10   # the last ten of each partition
  tidemill topic read meter-readings --kafka 127.0.0.1:9092`,
	}
	r := &topicRead{client: addClient(cmd), cluster: addCluster(cmd, env)}
	out := addFormat(cmd, formatTable, formatJSON)
	flags := cmd.Flags()
	flags.Int32Var(&r.partition, "partition", -1, "only this partition")
	flags.StringVar(&r.offset, "offset", "", "where to begin; negative numbers count from the end (default the first record)")
	flags.IntVar(&r.limit, "limit", 100, "most records of each partition")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.name = args[0]
		if err := oneOf(cmd, r.cluster); err != nil {
			return err
		}
		if r.limit < 1 {
			return usagef("--limit is %d: want at least 1", r.limit)
		}
		if _, err := strconv.ParseInt(r.offset, 10, 64); r.offset != "" && err != nil {
			return usagef("--offset is %q: want a whole number", r.offset)
		}
		w := newRowWriter(out.value, env.Stdout, "partition", "offset", "time", "key", "value")
		if r.cluster.flags.Given() {
			return r.runOnCluster(cmd.Context(), w)
		}
		return r.run(cmd.Context(), w)
	}
	return cmd
}

func (r *topicRead) run(ctx context.Context, w *rowWriter) error {
	first, end := r.partition, r.partition+1
	if r.partition < 0 {
		topics, err := r.topics(ctx, true)
		if err != nil {
			return err
		}
		first, end = 0, 1 // of an unknown topic: the application says so
		for _, t := range topics {
			if t.Name == r.name {
				end = t.Partitions
			}
		}
	}
	for p := first; p < end; p++ {
		if err := r.readPartition(ctx, p, w); err != nil {
			return err
		}
	}
	return w.finish()
}

// readPartition goes on page by page until the limit or the end is reached.
func (r *topicRead) readPartition(ctx context.Context, partition int32, w *rowWriter) error {
	params := url.Values{"partition": {strconv.Itoa(int(partition))}}
	setText(params, "offset", r.offset)
	for left := r.limit; left > 0; {
		params.Set("limit", strconv.Itoa(min(left, maxPage)))
		var answer struct {
			Records []json.RawMessage `json:"records"`
			Next    int64             `json:"next_offset"`
			End     int64             `json:"end_offset"`
		}
		if err := r.get(ctx, "/v1/topics/"+url.PathEscape(r.name)+"/records", params, &answer); err != nil {
			return err
		}
		for _, raw := range answer.Records {
			if err := w.add(withPartition(raw, partition), partition); err != nil {
				return err
			}
		}
		left -= len(answer.Records)
		next := strconv.FormatInt(answer.Next, 10)
		if answer.Next >= answer.End || next == params.Get("offset") {
			return nil
		}
		params.Set("offset", next)
	}
	return nil
}

// withPartition adds to a record where it lies, which the application says once
// for all of them.
func withPartition(raw json.RawMessage, partition int32) json.RawMessage {
	if len(raw) < 3 || raw[0] != '{' {
		return raw
	}
	out := append([]byte(`{"partition":`), strconv.Itoa(int(partition))...)
	return append(append(out, ','), raw[1:]...)
}
