package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidemill/tidemill/examples/meters/metering"
)

// feed sends readings to a cluster at a steady pace with another client, as the rest
// of a company would.
type feed struct {
	t       *testing.T
	client  *kgo.Client
	topic   string
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
	sent    strings.Builder // as CSV; valid once stopped
	number  int
}

// Pace of a feed: so many readings so often.
const (
	feedEvery = 20 * time.Millisecond
	feedBatch = 20
	feedOf    = 97 // meters
)

func (f *fleet) feed() *feed {
	f.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(f.addr), kgo.ProducerLinger(0))
	if err != nil {
		f.t.Fatal(err)
	}
	d := &feed{t: f.t, client: client, topic: f.prefix + "meter-readings", stop: make(chan struct{}), stopped: make(chan struct{})}
	d.sent.WriteString(header + "\n")
	f.t.Cleanup(func() {
		d.end()
		client.Close()
	})
	go func() {
		defer close(d.stopped)
		for tick := time.NewTicker(feedEvery); ; {
			select {
			case <-d.stop:
				return
			case <-tick.C:
				d.batch()
			}
		}
	}()
	return d
}

func (d *feed) batch() {
	var records []*kgo.Record
	for range feedBatch {
		meter := fmt.Sprintf("m%d", d.number%feedOf)
		at := time.Date(2025, 6, 1, 0, 15*(d.number/feedOf), 0, 0, time.UTC)
		r := metering.Reading{KWh: float64(d.number*7919%1009) / 8, At: at}
		value, err := json.Marshal(r)
		if err != nil {
			d.t.Error(err)
		}
		records = append(records, &kgo.Record{Topic: d.topic, Key: []byte(meter), Value: value, Timestamp: at})
		fmt.Fprintf(&d.sent, "%s,%s,%g\n", meter, at.Format(time.RFC3339), r.KWh)
		d.number++
	}
	// No context: a reading that was given up might be there nevertheless.
	if err := d.client.ProduceSync(d.t.Context(), records...).FirstErr(); err != nil && !errors.Is(err, d.t.Context().Err()) {
		d.t.Errorf("feed: %v", err)
	}
}

// end stops the feed and returns what has been sent.
func (d *feed) end() []byte {
	d.once.Do(func() { close(d.stop) })
	<-d.stopped
	return []byte(d.sent.String())
}

// pace watches, as a consumer, how long nothing came out of a partition, and how
// long nothing went in.
type pace struct {
	client *kgo.Client
	done   chan struct{}

	mu   sync.Mutex
	last map[string]time.Time // by topic and partition
	gap  map[string]time.Duration
	lag  time.Duration // of this process: the longest pause of a ticker
}

func (f *fleet) pace() *pace {
	f.t.Helper()
	in, out := f.prefix+"meter-readings", f.prefix+"meter-hourly-average"
	client, err := kgo.NewClient(kgo.SeedBrokers(f.addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(in, out),
		kgo.FetchMaxWait(20*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	if err != nil {
		f.t.Fatal(err)
	}
	p := &pace{client: client, done: make(chan struct{}), last: map[string]time.Time{}, gap: map[string]time.Duration{}}
	stopped := make(chan struct{}, 2)
	go func() { p.watch(f.t); stopped <- struct{}{} }()
	go func() { p.tick(); stopped <- struct{}{} }()
	f.t.Cleanup(func() {
		close(p.done)
		client.Close()
		<-stopped
		<-stopped
	})
	return p
}

func (p *pace) watch(t *testing.T) {
	for {
		fetches := p.client.PollFetches(t.Context())
		if fetches.IsClientClosed() || t.Context().Err() != nil {
			return
		}
		now := time.Now()
		p.mu.Lock()
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			if len(f.Records) == 0 {
				return
			}
			key := fmt.Sprintf("%s-%d", f.Topic, f.Partition)
			if last, ok := p.last[key]; ok {
				p.gap[key] = max(p.gap[key], now.Sub(last))
			}
			p.last[key] = now
		})
		p.mu.Unlock()
	}
}

// tick measures how long this machine let nobody run.
func (p *pace) tick() {
	const every = 5 * time.Millisecond
	for last := time.Now(); ; {
		select {
		case <-p.done:
			return
		case <-time.After(every):
		}
		p.mu.Lock()
		p.lag = max(p.lag, time.Since(last)-every)
		p.mu.Unlock()
		last = time.Now()
	}
}

// flowing reports whether something has come out of every partition since a moment.
func (p *pace) flowing(out string, partitions int32, since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range partitions {
		if p.last[fmt.Sprintf("%s-%d", out, i)].Before(since) {
			return false
		}
	}
	return true
}

// begin starts a measurement, end returns the gaps since, those that still last
// included.
func (p *pace) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gap, p.lag = map[string]time.Duration{}, 0
}

func (p *pace) end() (gap map[string]time.Duration, lag time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gap = maps.Clone(p.gap)
	for key, last := range p.last {
		gap[key] = max(gap[key], time.Since(last))
	}
	return gap, p.lag
}
