// Package gokaadopt makes an application continue where a goka group has stopped:
// at its committed offsets, and on its table topic as it is (see
// state.KeyValueStore.ChangelogTopic). It is for the one start at which the
// application takes over; afterwards it does nothing.
package gokaadopt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/topology"
)

// Adopted says what a group has left.
type Adopted struct {
	// Already says that the application has positions of its own, so that nothing was
	// done.
	Already bool
	// Tasks is the number of positions written, Records how many records of the
	// inputs lie before them.
	Tasks   int
	Records int64
}

// Group writes the positions of a topology's tasks from the committed offsets of a
// goka group, in one transaction. Call it before the application starts, and after
// all processes of the group have stopped: goka does not fence, and what it still
// wrote would be lost or counted twice. An application that has positions is left
// as it is, so that every start of a program may call it. If several processes
// call it at once one of them wins, and the others return an error or see what it
// did.
//
// Inputs for which the group has committed nothing begin where their Reset says.
//
// It is an error if the group has no offsets, if inputs and table topic differ in
// their number of partitions, or if records of them do not lie where the keys
// belong (it looks at the newest ones): goka finds the row of a key by its hash,
// the input record by its partition, and loses rows where the two differ.
func Group(ctx context.Context, log commitlog.Log, top *topology.Topology, group string) (Adopted, error) {
	adopted, err := adopt(ctx, log, top, group)
	if err != nil {
		return Adopted{}, fmt.Errorf("adopt goka group %s for application %s: %w", group, top.App(), err)
	}
	return adopted, nil
}

func adopt(ctx context.Context, log commitlog.Log, top *topology.Topology, group string) (Adopted, error) {
	if err := log.CreateTopic(ctx, changelog.PositionsTopicConfig(top.App())); err != nil {
		return Adopted{}, err
	}
	// The writer comes first: of two processes the earlier is fenced.
	w, err := log.OpenWriter(ctx, top.App()+"-adopt")
	if err != nil {
		return Adopted{}, fmt.Errorf("open a writer: %w", err)
	}
	defer w.Close()
	has, err := hasPositions(ctx, log, top)
	if has || err != nil {
		return Adopted{Already: true}, err
	}
	offsets, err := log.GroupOffsets(ctx, group)
	if err != nil {
		return Adopted{}, fmt.Errorf("read its offsets: %w", err)
	}
	if len(offsets) == 0 {
		return Adopted{}, errors.New("the group has committed no offsets; is it spelt as in goka.DefineGroup?")
	}
	var positions []changelog.Position
	for _, sub := range top.Subs() {
		n, err := checkTopics(ctx, log, top.App(), sub)
		if err != nil {
			return Adopted{}, err
		}
		positions = append(positions, positionsOf(sub, n, offsets)...)
	}
	if len(positions) == 0 {
		return Adopted{}, errors.New("the group has committed offsets, but of none of the topics that the topology reads")
	}
	return write(ctx, w, top.App(), positions)
}

func positionsTopic(app string) commitlog.TopicPartition {
	return commitlog.TopicPartition{Topic: changelog.PositionsTopic(app)}
}

// hasPositions says that the application has processed something, or has adopted
// the group before.
func hasPositions(ctx context.Context, log commitlog.Log, top *topology.Topology) (bool, error) {
	for _, sub := range top.Subs() {
		n, err := partitionsOf(ctx, log, sub.Sources[0].Name)
		if err != nil {
			return false, err
		}
		for p := range n {
			_, ok, err := log.Latest(ctx, positionsTopic(top.App()), []byte(changelog.TaskID(sub.Name, p)))
			if ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

// positionsOf are the positions of the tasks of which the group has read something.
func positionsOf(sub topology.Sub, n int32, offsets map[commitlog.TopicPartition]commitlog.GroupOffset) (out []changelog.Position) {
	for p := range n {
		inputs := map[string]int64{}
		for _, source := range sub.Sources {
			if at, ok := offsets[commitlog.TopicPartition{Topic: source.Name, Partition: p}]; ok {
				inputs[source.Name] = at.Offset
			}
		}
		if len(inputs) > 0 {
			out = append(out, changelog.Position{Task: changelog.TaskID(sub.Name, p), Inputs: inputs, StreamTime: processor.NoTime})
		}
	}
	return out
}

func write(ctx context.Context, w commitlog.Writer, app string, positions []changelog.Position) (Adopted, error) {
	clocks, err := json.Marshal(topology.Clocks{StreamTime: processor.NoTime})
	if err != nil {
		return Adopted{}, err
	}
	adopted := Adopted{Tasks: len(positions)}
	var b recordbatch.Builder
	for _, p := range positions {
		p.Clocks = clocks
		value, err := p.Encode()
		if err != nil {
			return Adopted{}, err
		}
		b.Append(0, []byte(p.Task), value, nil)
		for _, offset := range p.Inputs {
			adopted.Records += offset
		}
	}
	tp := positionsTopic(app)
	if err := w.Begin(); err != nil {
		return Adopted{}, err
	}
	if err := w.Append(tp, &b); err != nil {
		return Adopted{}, errors.Join(fmt.Errorf("append to %s: %w", tp, err), w.Abort())
	}
	if _, err := w.Commit(ctx); err != nil {
		return Adopted{}, errors.Join(fmt.Errorf("write to %s: %w", tp, err), w.Abort())
	}
	return adopted, nil
}

// partitionsOf is the number of partitions of a topic, 0 if it does not exist.
func partitionsOf(ctx context.Context, log commitlog.Log, topic string) (int32, error) {
	cfg, err := log.Topic(ctx, topic)
	if errors.Is(err, commitlog.ErrUnknownTopic) {
		return 0, nil
	}
	return cfg.Partitions, err
}

// checkTopics returns the number of partitions of a sub-topology whose topics fit
// together.
func checkTopics(ctx context.Context, log commitlog.Log, app string, sub topology.Sub) (int32, error) {
	var known *topology.TopicDecl
	var n int32
	for _, source := range sub.Sources {
		have, err := partitionsOf(ctx, log, source.Name)
		if err != nil {
			return 0, err
		}
		switch {
		case have == 0:
			continue // it will be created
		case known == nil:
			known, n = source, have
		case have != n:
			return 0, fmt.Errorf("topics %s and %s are processed together but have %d and %d partitions; goka demands equal numbers too, "+
				"so one of them was changed since: give them the same number", known.Name, source.Name, n, have)
		}
	}
	if known == nil {
		return 0, fmt.Errorf("none of the topics of sub-topology %s exists", sub.Name)
	}
	i := slices.IndexFunc(sub.Stores, isAdopted)
	if i < 0 {
		return n, nil // where no table is taken over it does not matter where keys lie
	}
	for ; i < len(sub.Stores); i++ {
		spec := sub.Stores[i]
		if !isAdopted(spec) {
			continue
		}
		if err := changelog.CreateStoreTopic(ctx, log, app, spec, n); err != nil {
			return 0, err
		}
		if err := checkPlacement(ctx, log, spec.Changelog, n, known.Partitioner); err != nil {
			return 0, err
		}
	}
	for _, source := range sub.Sources {
		if err := checkPlacement(ctx, log, source.Name, n, source.Partitioner); err != nil {
			return 0, err
		}
	}
	return n, nil
}
