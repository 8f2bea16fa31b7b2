package commitlogtest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

func topicCases() []Case {
	return []Case{
		{Name: "topics/create and describe", Why: "an application checks its topics against what it declares", run: createAndDescribe},
		{Name: "topics/mismatch is named", Why: "a wrong partition count found late means records of a key on two tasks", run: mismatchIsNamed},
		{Name: "topics/unknown", Why: "a typing error must not look like an empty topic", run: unknownTopic},
		{Name: "topics/delete", Why: "a reset application must not meet its old records", run: deleteTopic},
	}
}

func createAndDescribe(e *env) error {
	want := commitlog.TopicConfig{Name: "t.a-b_c", Partitions: 3, Cleanup: commitlog.CleanupCompact, RetentionTime: time.Hour, Internal: true}
	for range 2 { // the same once more is success
		if err := e.log.CreateTopic(e.ctx, want); err != nil {
			return fmt.Errorf("create: %w", err)
		}
	}
	got, err := e.log.Topic(e.ctx, want.Name)
	if err != nil || got.Partitions != 3 || got.Cleanup != commitlog.CleanupCompact {
		return fmt.Errorf("described as %+v, %v", got, err)
	}
	if err := e.log.CreateTopic(e.ctx, commitlog.TopicConfig{Name: "t.a", Partitions: 1}); err != nil {
		return err
	}
	all, err := e.log.Topics(e.ctx)
	if err != nil {
		return err
	}
	var ours []string
	for _, t := range all {
		if strings.HasPrefix(t.Name, "t.") {
			ours = append(ours, t.Name)
		}
	}
	if fmt.Sprint(ours) != "[t.a t.a-b_c]" {
		return fmt.Errorf("listed %q, want both topics by name", ours)
	}
	return nil
}

func mismatchIsNamed(e *env) error {
	if err := e.log.CreateTopic(e.ctx, commitlog.TopicConfig{Name: "a", Partitions: 2}); err != nil {
		return err
	}
	err := e.log.CreateTopic(e.ctx, commitlog.TopicConfig{Name: "a", Partitions: 4, Cleanup: commitlog.CleanupCompact})
	var mismatch *commitlog.TopicMismatchError
	if !errors.As(err, &mismatch) {
		return fmt.Errorf("creating with other partitions gave %v, want a TopicMismatchError", err)
	}
	if text := mismatch.Error(); !strings.Contains(text, "partitions: have 2, want 4") || !strings.Contains(text, "compact") {
		return fmt.Errorf("the error does not name both differences: %s", text)
	}
	return nil
}

func unknownTopic(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	r, err := e.log.NewReader(commitlog.ReaderOptions{})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := w.Begin(); err != nil {
		return err
	}
	_, topicErr := e.log.Topic(e.ctx, "none")
	_, boundsErr := e.log.Bounds(e.ctx, tp("none", 0))
	_, partitionErr := e.log.Bounds(e.ctx, tp("a", 1))
	_, _, latestErr := e.log.Latest(e.ctx, tp("none", 0), []byte("k"))
	for what, err := range map[string]error{
		"Topic": topicErr, "Bounds": boundsErr, "Bounds of a partition too many": partitionErr, "Latest": latestErr,
		"Assign":      r.Assign(tp("none", 0), 0),
		"Append":      w.Append(tp("none", 0), builder("x")),
		"DeleteTopic": e.log.DeleteTopic(e.ctx, "none"),
	} {
		if err := mustFail(what, err, commitlog.ErrUnknownTopic); err != nil {
			return err
		}
	}
	return nil
}

func deleteTopic(e *env) error {
	w, err := e.topic("a", 1, "w")
	if err != nil {
		return err
	}
	if _, err := e.put(w, tp("a", 0), "old"); err != nil {
		return err
	}
	if err := e.log.DeleteTopic(e.ctx, "a"); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if _, err := e.log.Topic(e.ctx, "a"); !errors.Is(err, commitlog.ErrUnknownTopic) {
		return fmt.Errorf("a deleted topic is described, error %v", err)
	}
	if _, err := e.topic("a", 1, "w2"); err != nil {
		return fmt.Errorf("create again: %w", err)
	}
	return e.expect(tp("a", 0))
}
