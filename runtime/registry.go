package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// Keys of the registry topic.
const (
	shapeKey   = "~shape"
	writersKey = "~writers"
)

// registry changes records that all processes of an application share. A change
// reads a record, computes the new one, and writes it, all under one writer
// identity that every process uses: whoever opens it later fences those before. So
// of two that change at once the first to commit wins, and the other finds out
// that it is fenced and begins again with what it then reads. Nothing is lost, and
// nobody holds a lock that could be left behind.
type registry struct {
	app string
	log commitlog.Log
	now func() time.Time
}

// registryTries bounds how often a change begins again. Each loss means that
// somebody else has won.
const registryTries = 100

func (r *registry) topic() commitlog.TopicPartition {
	return commitlog.TopicPartition{Topic: changelog.RegistryTopic(r.app)}
}

// read returns the value of a record, nil if there is none.
func (r *registry) read(ctx context.Context, key string) ([]byte, error) {
	record, ok, err := r.log.Latest(ctx, r.topic(), []byte(key))
	if err != nil {
		return nil, fmt.Errorf("read %s from %s: %w", key, r.topic(), err)
	}
	if !ok {
		return nil, nil
	}
	return record.Value, nil
}

// update replaces a record by what change makes of it; nil leaves it as it is.
// change may be called several times.
func (r *registry) update(ctx context.Context, key string, change func(old []byte) ([]byte, error)) error {
	for try := 1; ; try++ {
		err := r.tryUpdate(ctx, key, change)
		lost := errors.Is(err, commitlog.ErrFenced) || errors.Is(err, commitlog.ErrUnknownOutcome)
		if !lost || errors.Is(err, commitlog.ErrReadOnly) || try == registryTries {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(time.Duration(min(try, 20)) * time.Millisecond):
		}
	}
}

func (r *registry) tryUpdate(ctx context.Context, key string, change func(old []byte) ([]byte, error)) error {
	w, err := r.log.OpenWriter(ctx, r.app+"-registry")
	if err != nil {
		return fmt.Errorf("open the writer of %s: %w", r.topic(), err)
	}
	defer w.Close()
	old, err := r.read(ctx, key)
	if err != nil {
		return err
	}
	value, err := change(old)
	if err != nil || value == nil {
		return err
	}
	var b recordbatch.Builder
	b.Append(r.now().UnixMilli(), []byte(key), value, nil)
	if err := w.Begin(); err != nil {
		return fmt.Errorf("write %s to %s: %w", key, r.topic(), err)
	}
	if err := w.Append(r.topic(), &b); err != nil {
		return fmt.Errorf("write %s to %s: %w", key, r.topic(), errors.Join(err, w.Abort()))
	}
	if _, err := w.Commit(ctx); err != nil {
		return fmt.Errorf("write %s to %s: %w", key, r.topic(), errors.Join(err, w.Abort()))
	}
	return nil
}

// writers reads the registered writers.
func (r *registry) writers(ctx context.Context) (changelog.Registry, error) {
	value, err := r.read(ctx, writersKey)
	if err != nil {
		return changelog.Registry{}, err
	}
	return changelog.DecodeRegistry(value)
}

func (r *registry) updateWriters(ctx context.Context, change func(*changelog.Registry)) error {
	return r.update(ctx, writersKey, func(old []byte) ([]byte, error) {
		writers, err := changelog.DecodeRegistry(old)
		if err != nil {
			return nil, err
		}
		change(&writers)
		return writers.Encode()
	})
}

// enter registers the writers of one instance. It has to be done before that
// process asks for tasks: a writer that is not registered is fenced by nobody.
func (r *registry) enter(ctx context.Context, instance string, epochs map[string]int64) error {
	return r.updateWriters(ctx, func(writers *changelog.Registry) {
		for id, epoch := range epochs {
			writers.Enter(id, changelog.RegisteredWriter{Instance: instance, Epoch: epoch})
		}
	})
}

// takeOver fences every registered writer that is dead, and returns their ids.
// Fencing aborts what such a writer has open and refuses whatever it may still
// send, so that afterwards nothing can come into the log behind what the new owner
// of its tasks reads. It begins anew as often as it is interrupted: a writer is
// removed from the registry only after it was fenced.
func (r *registry) takeOver(ctx context.Context, dead func(id string, w changelog.RegisteredWriter) bool) (fenced []string, err error) {
	writers, err := r.writers(ctx)
	if err != nil {
		return nil, err
	}
	epochs := map[string]int64{}
	for _, id := range slices.Sorted(maps.Keys(writers.Writers)) {
		if !dead(id, writers.Writers[id]) {
			continue
		}
		w, err := r.log.OpenWriter(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("fence writer %s of instance %s: %w", id, writers.Writers[id].Instance, err)
		}
		epochs[id] = w.Epoch()
		if err := w.Close(); err != nil {
			return nil, fmt.Errorf("fence writer %s: %w", id, err)
		}
		fenced = append(fenced, id)
	}
	if len(fenced) == 0 {
		return nil, nil
	}
	return fenced, r.updateWriters(ctx, func(writers *changelog.Registry) {
		for id, epoch := range epochs {
			writers.Fenced(id, epoch)
		}
	})
}

// heldElsewhere finds a writer of ours that another process has opened and
// registered since: one that runs under the same identity. A writer that was only
// fenced, by somebody who took over its tasks, is not registered any more.
func (r *registry) heldElsewhere(ctx context.Context, epochs map[string]int64) (id string, found bool, err error) {
	writers, err := r.writers(ctx)
	if err != nil {
		return "", false, err
	}
	for _, id := range slices.Sorted(maps.Keys(epochs)) {
		if writers.Writers[id].Epoch > epochs[id] {
			return id, true, nil
		}
	}
	return "", false, nil
}
