package runtime

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidemill/tidemill/changelog/commitlog/embedded"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime/internal/worker"
)

// metrics are the metrics of one App, in a registry of its own. Labels are
// bounded: task, topic, node, reason; never a key.
type metrics struct {
	registry *prometheus.Registry
	commits  prometheus.Counter
	records  prometheus.Counter
	outputs  prometheus.Counter
	changes  prometheus.Counter
	poison   *prometheus.CounterVec
	took     *prometheus.HistogramVec
	logTook  *prometheus.HistogramVec
	fetches  *prometheus.HistogramVec
	ended    *prometheus.CounterVec // transactions
	epoch    *prometheus.GaugeVec

	rebalances prometheus.Counter
	generation prometheus.Gauge
	assigned   prometheus.Gauge
	fenced     prometheus.Counter
	restarts   *prometheus.CounterVec
}

func newMetrics(a *App) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tidemill", Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "tidemill", Name: name, Help: help})
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "tidemill", Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"worker"})
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		commits:  counter("commits_total", "Committed transactions of workers."),
		records:  counter("committed_records_total", "Input records covered by commits, as offsets."),
		outputs:  counter("output_records_total", "Committed records written to topics."),
		changes:  counter("changelog_records_total", "Committed records written to changelogs."),
		poison: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tidemill", Name: "poison_records_total",
			Help: "Records left out by the poison policy."}, []string{"task", "node", "class"}),
		took:    histogram("commit_seconds", "Time of a whole commit."),
		logTook: histogram("commit_log_seconds", "Time of a commit's log transaction, fsync included."),
		fetches: histogram("fetch_seconds", "Time of a poll that brought records, the wait for them included."),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tidemill", Name: "worker_transactions_total",
			Help: "Transactions of workers by result: committed, or aborted, which includes refused ones."}, []string{"worker", "result"}),
		epoch: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "tidemill", Name: "writer_epoch",
			Help: "Epoch of a worker's writer identity; it grows with every holder."}, []string{"worker"}),
		rebalances: counter("rebalances_total", "Generations of the group that this process has joined."),
		generation: gauge("group_generation", "Generation of the group as this process knows it."),
		assigned:   gauge("assigned_tasks", "Tasks assigned to this process."),
		fenced:     counter("fenced_writers_total", "Writers of dead processes that this process has fenced."),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tidemill", Name: "restarts_total",
			Help: "How often this process has started over with new writers, by reason."}, []string{"reason"}),
	}
	m.registry.MustRegister(m.commits, m.records, m.outputs, m.changes, m.poison, m.took, m.logTook, m.fetches, m.ended, m.epoch,
		m.rebalances, m.generation, m.assigned, m.fenced, m.restarts,
		&appCollector{a}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) committed(worker string, s worker.CommitStats) {
	m.commits.Inc()
	m.ended.WithLabelValues(worker, "committed").Inc()
	m.records.Add(float64(s.Records))
	m.outputs.Add(float64(s.OutputRecords))
	m.changes.Add(float64(s.ChangelogRecords))
	m.took.WithLabelValues(worker).Observe(s.Took.Seconds())
	m.logTook.WithLabelValues(worker).Observe(s.LogTook.Seconds())
}

// aborted counts the aborted transactions of a worker, fetched its polls.
func (m *metrics) aborted(worker string) func() {
	return m.ended.WithLabelValues(worker, "aborted").Inc
}

func (m *metrics) fetched(worker string) func(time.Duration) {
	h := m.fetches.WithLabelValues(worker)
	return func(took time.Duration) { h.Observe(took.Seconds()) }
}

func (m *metrics) poisoned(task, node, class string, _ processor.Origin) {
	m.poison.WithLabelValues(task, node, class).Inc()
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// appCollector reads what tasks and log publish anyway, at the time of a scrape.
type appCollector struct{ a *App }

var (
	lagDesc      = taskDesc("lag_records", "Input records not yet processed and committed.", "topic")
	behindDesc   = taskDesc("lag_seconds", "Wall clock less the highest event time processed, 0 without lag or before the first record.")
	streamDesc   = taskDesc("stream_time_seconds", "Highest event time processed, since the epoch.")
	stateDesc    = taskDesc("running", "1 if the task runs, 0 while it is restored or closed.")
	restoreDesc  = taskDesc("restore_to_go_records", "Changelog records still to replay.")
	restoredDesc = taskDesc("restored_records_total", "Changelog records replayed since the start.")
	cacheDesc    = taskDesc("cache_bytes", "Memory held by the caches of the task's stores.")
	droppedDesc  = taskDesc("dropped_records_total", "Records dropped by rule, since the task started.", "node", "reason")
)

func taskDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tidemill_task_"+name, help, append([]string{"task"}, labels...), nil)
}

func logDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("tidemill_log_"+name, help, nil, nil)
}

var (
	journalSyncsDesc = logDesc("journal_syncs_total", "fsyncs of the journal.")
	journalBytesDesc = logDesc("journal_bytes_total", "Bytes written to the journal.")
	segmentBytesDesc = logDesc("segment_bytes_total", "Bytes written to segments.")
	transactionsDesc = logDesc("transactions_total", "Committed transactions, of all writers.")
	tailBytesDesc    = logDesc("tail_bytes", "Recent batches in memory.")
)

// Describe implements prometheus.Collector.
func (c *appCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagDesc, behindDesc, streamDesc, stateDesc, restoreDesc, restoredDesc, cacheDesc, droppedDesc,
		journalSyncsDesc, journalBytesDesc, segmentBytesDesc, transactionsDesc, tailBytesDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *appCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for _, id := range c.a.mine() {
		s := c.a.status(id)
		running := 0.0
		if s.State == worker.Running {
			running = 1
		}
		gauge(stateDesc, running, id)
		gauge(streamDesc, float64(s.StreamTime)/1000, id)
		behind := 0.0
		if s.Lag() > 0 && s.StreamTime >= 0 {
			behind = max(0, c.a.cfg.Now().Sub(time.UnixMilli(int64(s.StreamTime))).Seconds())
		}
		gauge(behindDesc, behind, id)
		gauge(restoreDesc, float64(s.ToGo), id)
		count(restoredDesc, float64(s.Restored), id)
		gauge(cacheDesc, float64(s.CacheBytes), id)
		for topic, end := range s.StableEnds {
			gauge(lagDesc, float64(max(0, end-s.Inputs[topic])), id, topic)
		}
		for _, d := range s.Dropped {
			count(droppedDesc, float64(d.N), id, d.Node, d.Reason)
		}
	}
	if l, ok := c.a.log.(interface{ Stats() embedded.Stats }); ok {
		s := l.Stats()
		count(journalSyncsDesc, float64(s.JournalSyncs))
		count(journalBytesDesc, float64(s.JournalBytes))
		count(segmentBytesDesc, float64(s.SegmentBytes))
		count(transactionsDesc, float64(s.Transactions))
		gauge(tailBytesDesc, float64(s.TailBytes))
	}
}
