package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/runtime/query"
	"github.com/tidemill/tidemill/state"
)

func newStore(env Env) *cobra.Command {
	return group("store", "Look into the stores of a running application.", newStoreGet(env), newStoreScan(env))
}

// storeQuery is what get and scan have in common.
type storeQuery struct {
	*client
	name  string
	enc   string
	limit int
	out   *choice
}

func addStoreQuery(cmd *cobra.Command) *storeQuery {
	q := &storeQuery{client: addClient(cmd), out: addFormat(cmd, formatTable, formatJSON)}
	cmd.Flags().StringVar(&q.enc, "enc", "", "how keys are written: text, b64 or json (default what suits the store)")
	cmd.Flags().IntVar(&q.limit, "limit", 100, "most rows")
	return q
}

func newStoreGet(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get STORE KEY", Short: "Print the row of a key, or its rows in a window store.", Args: exactArgs("STORE", "KEY"),
		Long: `Print the row of a key. Of a window store, print the rows of all windows of the
key that start in a range of time. As JSON each row is a line.`,
		Example: "  tidemill store get hourly-mean m17 --from 2025-06-01T00:00:00Z",
	}
	q := addStoreQuery(cmd)
	from := cmd.Flags().String("from", "", "window stores: first start, RFC 3339 or milliseconds since 1970")
	to := cmd.Flags().String("to", "", "window stores: first start after the range")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.name = args[0]
		info, err := q.find(cmd.Context())
		if err != nil {
			return err
		}
		params := url.Values{"key": {args[1]}}
		setText(params, "enc", q.enc)
		if info.Kind == state.KindWindow.String() {
			setText(params, "from", *from)
			setText(params, "to", *to)
			return q.pages(cmd.Context(), "windows", params, newRowWriter(q.out.value, env.Stdout, windowColumns...), args[1])
		}
		if *from != "" || *to != "" {
			return usagef("--from and --to are for window stores; %s is a %s store", q.name, info.Kind)
		}
		return q.one(cmd.Context(), params, newRowWriter(q.out.value, env.Stdout, keyValueColumns...))
	}
	return cmd
}

func newStoreScan(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "scan STORE", Short: "Print the rows of a store in order.", Args: exactArgs("STORE"),
		Long: `Print the rows of a store: a key-value store in the order of its encoded keys, a
window store in the order of window starts and keys. As JSON each row is a line.`,
	}
	q := addStoreQuery(cmd)
	var from, to, prefix, partition string
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "first key; of a window store first start")
	flags.StringVar(&to, "to", "", "first key after the range; of a window store first start after it")
	flags.StringVar(&prefix, "prefix", "", "key-value stores: keys that begin with this")
	flags.StringVar(&partition, "partition", "", "key-value stores: only this partition")
	reverse := flags.Bool("reverse", false, "key-value stores: from the last row to the first")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.name = args[0]
		info, err := q.find(cmd.Context())
		if err != nil {
			return err
		}
		params := url.Values{}
		setText(params, "from", from)
		setText(params, "to", to)
		if info.Kind == state.KindWindow.String() {
			if prefix != "" || partition != "" || *reverse || q.enc != "" {
				return usagef("--prefix, --partition, --reverse and --enc are for key-value stores; %s is a window store", q.name)
			}
			return q.pages(cmd.Context(), "windows", params, newRowWriter(q.out.value, env.Stdout, windowColumns...), "")
		}
		setText(params, "prefix", prefix)
		setText(params, "partition", partition)
		setText(params, "enc", q.enc)
		if *reverse {
			params.Set("reverse", "true")
		}
		return q.pages(cmd.Context(), "scan", params, newRowWriter(q.out.value, env.Stdout, keyValueColumns...), "")
	}
	return cmd
}

var (
	keyValueColumns = []string{"key", "value", "time"}
	windowColumns   = []string{"key", "start", "end", "value", "time"}
)

func (q *storeQuery) path(endpoint string) string {
	return "/v1/stores/" + url.PathEscape(q.name) + "/" + endpoint
}

// find asks what kind of store it is: the two kinds are read in different ways.
func (q *storeQuery) find(ctx context.Context) (query.StoreInfo, error) {
	if q.limit < 1 {
		return query.StoreInfo{}, usagef("--limit is %d: want at least 1", q.limit)
	}
	var answer struct {
		App    string            `json:"app"`
		Stores []query.StoreInfo `json:"stores"`
	}
	if err := q.get(ctx, "/v1/stores", nil, &answer); err != nil {
		return query.StoreInfo{}, err
	}
	var have []string
	for _, s := range answer.Stores {
		if s.Name == q.name {
			return s, nil
		}
		have = append(have, s.Name)
	}
	return query.StoreInfo{}, notFoundf("application %s has no store %q; there are: %s", answer.App, q.name, strings.Join(have, ", "))
}

// one prints the row of a key.
func (q *storeQuery) one(ctx context.Context, params url.Values, w *rowWriter) error {
	var row json.RawMessage
	if err := q.get(ctx, q.path("key"), params, &row); err != nil {
		return err
	}
	if err := w.add(bytes.TrimSpace(row)); err != nil {
		return err
	}
	return w.finish()
}

// pages follows cursors until the limit. mustKey names a key without which there
// is nothing to print; "" accepts that.
func (q *storeQuery) pages(ctx context.Context, endpoint string, params url.Values, w *rowWriter, mustKey string) error {
	found := 0
	for found < q.limit {
		params.Set("limit", strconv.Itoa(min(q.limit-found, maxPage)))
		var answer struct {
			Rows   []json.RawMessage `json:"rows"`
			Cursor string            `json:"cursor"`
		}
		if err := q.get(ctx, q.path(endpoint), params, &answer); err != nil {
			return err
		}
		for _, row := range answer.Rows {
			if err := w.add(row); err != nil {
				return err
			}
		}
		found += len(answer.Rows)
		if answer.Cursor == "" {
			break
		}
		params.Set("cursor", answer.Cursor)
	}
	if found == 0 && mustKey != "" {
		return notFoundf("store %s has no window of key %s in that range", q.name, printable(mustKey))
	}
	return w.finish()
}
