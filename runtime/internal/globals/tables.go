package globals

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/state"
	"github.com/tidemill/tidemill/topology"
)

// Config is what Tables are made of.
type Config struct {
	Log    commitlog.Log
	Tables []topology.GlobalSpec
	// Partitions is the partition count of a topic, which exists.
	Partitions func(topic string) int32
	// Engine holds the rows. It belongs to the Tables, which close it.
	Engine state.Engine
	// Undecodable is told about a record whose key or value does not decode, and
	// decides: nil leaves the record out, counted, an error ends the reading. A nil
	// function ends it.
	Undecodable func(*RecordError) error
	// FlushInterval is the time between flushes of the engine, which bounds what is
	// read again after a crash; 0 means 30 s. It counts by Now; nil means time.Now.
	FlushInterval time.Duration
	Now           func() time.Time
	Logger        *slog.Logger // nil: nobody
}

// RecordError is a record of a global topic that cannot be used.
type RecordError struct {
	commitlog.TopicPartition
	Offset int64
	Store  string
	Err    error
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("global store %s: record %s offset %d: %v; mend the record or let undecodable ones be left out",
		e.Store, e.TopicPartition, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// Tables are the global tables of one instance. Load comes first, then Follow;
// GlobalStore and Progress may be called from any goroutine.
type Tables struct {
	cfg     Config
	reader  commitlog.Reader
	tables  map[string]*table // by store
	byTopic map[string]*table
	flushed time.Time
	dirty   bool // applied since the last flush
}

// table is one global table.
type table struct {
	spec    topology.GlobalSpec
	id      uint16
	next    []int64 // by partition; of the reading goroutine
	ends    []int64 // stable ends
	version atomic.Uint64
	dropped atomic.Uint64
	behind  atomic.Int64
}

// ErrNoTable: no global table has a store of that name.
var ErrNoTable = errors.New("no global table has this store")

// Open prepares the tables of an engine. A table that does not fit its topic any
// more is emptied, to be loaded again.
func Open(ctx context.Context, cfg Config) (_ *Tables, err error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.FlushInterval == 0 {
		cfg.FlushInterval = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Tables{cfg: cfg, tables: map[string]*table{}, byTopic: map[string]*table{}, flushed: cfg.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("global tables: %w", err), t.Close())
		}
	}()
	var specs []state.Spec
	for _, spec := range cfg.Tables {
		specs = append(specs, spec.Store)
	}
	if err := t.ownEngine(); err != nil {
		return t, err
	}
	ids, err := changelog.LoadStoreIDs(cfg.Engine, specs)
	if err != nil {
		return t, err
	}
	if t.reader, err = cfg.Log.NewReader(commitlog.ReaderOptions{MaxPartitionBytes: 4 << 20}); err != nil {
		return t, err
	}
	for _, spec := range cfg.Tables {
		n := cfg.Partitions(spec.Topic.Name)
		made := &table{spec: spec, id: ids[spec.Store.Name], next: make([]int64, n), ends: make([]int64, n)}
		t.tables[spec.Store.Name], t.byTopic[spec.Topic.Name] = made, made
		if err := t.assign(ctx, made); err != nil {
			return t, err
		}
	}
	return t, nil
}

// ownEngine empties an engine that was filled from another log.
func (t *Tables) ownEngine() error {
	id, err := changelog.StoredLogID(t.cfg.Engine)
	if err != nil {
		return err
	}
	if id != "" && id != t.cfg.Log.ID() {
		t.cfg.Logger.Warn("global tables are loaded again", "reason", fmt.Sprintf("they belong to log %s, this one is %s", id, t.cfg.Log.ID()))
		b := t.cfg.Engine.NewBatch()
		if err := b.DeleteRange(nil, []byte{0xff, 0xff, 0xff}); err != nil {
			return errors.Join(err, b.Close())
		}
		if err := t.cfg.Engine.Apply(b); err != nil {
			return err
		}
	}
	return changelog.SetLogID(t.cfg.Engine, t.cfg.Log.ID())
}

// assign reads a table's partitions from where the engine stands.
func (t *Tables) assign(ctx context.Context, made *table) error {
	unfit, err := t.positions(ctx, made)
	if err != nil {
		return err
	}
	if unfit != "" {
		t.cfg.Logger.Warn("a global table is loaded again", "store", made.spec.Store.Name, "reason", unfit)
		if err := t.empty(made); err != nil {
			return err
		}
		if unfit, err = t.positions(ctx, made); err != nil || unfit != "" {
			return errors.Join(fmt.Errorf("store %s was emptied and is unfit again: %s", made.spec.Store.Name, unfit), err)
		}
	}
	for p, next := range made.next {
		if err := t.reader.Assign(made.partition(p), next); err != nil {
			return err
		}
	}
	return nil
}

// positions loads where a table stands, and says why it cannot go on from there.
func (t *Tables) positions(ctx context.Context, made *table) (unfit string, err error) {
	shape, stored, err := t.cfg.Engine.Get(nil, made.shapeKey())
	if err != nil {
		return "", err
	}
	if stored && string(shape) != made.shape() {
		return fmt.Sprintf("it holds %s, declared is %s", shape, made.shape()), nil
	}
	for p := range made.next {
		bounds, err := t.cfg.Log.Bounds(ctx, made.partition(p))
		if err != nil {
			return "", err
		}
		raw, ok, err := t.cfg.Engine.Get(nil, made.positionKey(p))
		if err != nil {
			return "", err
		}
		made.next[p] = bounds.Start
		if !ok {
			continue
		}
		if len(raw) != 8 {
			return fmt.Sprintf("position of %s has %d bytes, 8 expected", made.partition(p), len(raw)), nil
		}
		made.next[p] = int64(binary.BigEndian.Uint64(raw))
		if next := made.next[p]; next < bounds.Start || next > bounds.StableEnd {
			return fmt.Sprintf("it stands at offset %d of %s, which holds [%d, %d)", next, made.partition(p), bounds.Start, bounds.StableEnd), nil
		}
	}
	return "", nil
}

// empty removes the rows and positions of a table.
func (t *Tables) empty(made *table) error {
	b := t.cfg.Engine.NewBatch()
	prefix := state.AppendMetaKey(nil, "global/"+made.spec.Store.Name+"/")
	err := b.DeleteRange(state.StoreRange(made.id))
	if err == nil {
		err = b.DeleteRange(prefix, state.PrefixEnd(prefix))
	}
	if err != nil {
		return errors.Join(err, b.Close())
	}
	return t.cfg.Engine.Apply(b)
}

func (m *table) partition(p int) commitlog.TopicPartition {
	return commitlog.TopicPartition{Topic: m.spec.Topic.Name, Partition: int32(p)}
}

// shape is what the rows of a table mean. A partition count is part of it: keys
// move when it changes.
func (m *table) shape() string {
	return fmt.Sprintf("topic %s, %d partitions, key %s, value %s", m.spec.Topic.Name, len(m.next), m.spec.Store.Key, m.spec.Store.Value)
}

func (m *table) shapeKey() []byte {
	return state.AppendMetaKey(nil, "global/"+m.spec.Store.Name+"/shape")
}

func (m *table) positionKey(p int) []byte {
	return state.AppendMetaKey(nil, "global/"+m.spec.Store.Name+"/"+strconv.Itoa(p))
}

// GlobalStore implements topology.Globals.
func (t *Tables) GlobalStore(name string) (topology.GlobalStore, error) {
	made := t.tables[name]
	if made == nil {
		return topology.GlobalStore{}, fmt.Errorf("%w: %s", ErrNoTable, name)
	}
	return topology.GlobalStore{Rows: t.cfg.Engine, ID: made.id, Version: made.version.Load}, nil
}

// Snapshot returns a consistent view of all tables, for queries. Close it soon.
func (t *Tables) Snapshot() (state.Snapshot, error) { return t.cfg.Engine.Snapshot() }

// Progress is where a table stands.
type Progress struct {
	// Behind is how many offsets are still to be read, as far as is known.
	Behind int64
	// Dropped counts the records left out since Open: without a key, or undecodable.
	Dropped uint64
}

// Progress returns where the table of a store stands.
func (t *Tables) Progress(store string) Progress {
	made := t.tables[store]
	if made == nil {
		return Progress{}
	}
	return Progress{Behind: made.behind.Load(), Dropped: made.dropped.Load()}
}

// Close closes the engine; what was applied is made durable. It must not be
// called while Load or Follow runs.
func (t *Tables) Close() error {
	var errs []error
	if t.reader != nil {
		errs = append(errs, t.reader.Close())
	}
	return errors.Join(append(errs, t.cfg.Engine.Close())...)
}
