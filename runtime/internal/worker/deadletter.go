package worker

import (
	"strconv"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor"
	"github.com/tidemill/tidemill/runtime/internal/task"
	"github.com/tidemill/tidemill/topology"
)

// Headers of a dead letter, in front of the record's own. Its key and value are
// the bytes of the record.
const (
	HeaderApp       = "tidemill.application"
	HeaderTask      = "tidemill.task"
	HeaderNode      = "tidemill.node"
	HeaderClass     = "tidemill.error.class"
	HeaderError     = "tidemill.error"
	HeaderStack     = "tidemill.error.stack"
	HeaderTopic     = "tidemill.source.topic"
	HeaderPartition = "tidemill.source.partition"
	HeaderOffset    = "tidemill.source.offset"
	HeaderTime      = "tidemill.source.time"
	HeaderWindow    = "tidemill.window.start" // of a result that failed
)

// letter is a record that was left out and has not been committed yet.
type letter struct {
	origin   processor.Origin // zero for a row or punctuation
	err      *topology.NodeError
	raw      topology.Raw
	row      topology.RowFailure
	excluded bool // it survives going back to the last commit
}

func recordLetter(e *task.RecordError) letter {
	return letter{origin: e.Origin, err: e.Err, raw: e.Raw}
}

func rowLetter(f topology.RowFailure) letter { return letter{err: f.Err, row: f} }

// covered says whether a commit that ends at these inputs covers the letter.
func (l letter) covered(inputs map[string]int64) bool {
	return l.origin.Topic == "" || l.origin.Offset < inputs[l.origin.Topic]
}

// addLetters puts the letters that a commit covers into its transaction, so that
// each appears exactly once.
func (w *Worker) addLetters(c taskCommit) {
	if w.cfg.Poison != PoisonDeadLetter {
		return
	}
	inputs := map[string]int64{}
	for tp, next := range c.commit.Inputs {
		inputs[tp.Topic] = next
	}
	for _, l := range c.slot.letters {
		if l.covered(inputs) {
			key, value, at := l.raw.Key, l.raw.Value, l.raw.Time
			if l.origin.Topic == "" {
				key, value, at = l.row.Key, nil, l.row.Time
			}
			w.deadLetters.Append(max(at, 0), key, value, w.letterHeaders(c.slot, l))
		}
	}
}

func (w *Worker) letterHeaders(s *slot, l letter) []recordbatch.Header {
	var h []recordbatch.Header
	add := func(name, value string) { h = append(h, recordbatch.Header{Key: name, Value: []byte(value)}) }
	add(HeaderApp, w.cfg.App)
	add(HeaderTask, s.id)
	add(HeaderNode, l.err.Node)
	add(HeaderClass, className(l.err))
	add(HeaderError, l.err.Err.Error())
	if len(l.err.Stack) > 0 {
		add(HeaderStack, string(l.err.Stack))
	}
	if l.origin.Topic == "" {
		add(HeaderWindow, strconv.FormatInt(l.row.Start, 10))
		return h
	}
	add(HeaderTopic, l.origin.Topic)
	add(HeaderPartition, strconv.Itoa(int(l.origin.Partition)))
	add(HeaderOffset, strconv.FormatInt(l.origin.Offset, 10))
	add(HeaderTime, time.UnixMilli(l.raw.Time).UTC().Format(time.RFC3339Nano))
	for _, own := range l.raw.Headers {
		h = append(h, recordbatch.Header{Key: own.Key, Value: own.Value})
	}
	return h
}

// forgetLetters drops what the last commit has covered.
func (s *slot) forgetLetters() {
	if len(s.letters) == 0 {
		return
	}
	kept := s.letters[:0]
	for _, l := range s.letters {
		switch {
		case !l.covered(s.position.Inputs):
			kept = append(kept, l)
		case l.excluded:
			delete(s.excluded[l.origin.Topic], l.origin.Offset)
		}
	}
	s.letters = kept
	if len(kept) == 0 {
		s.excluded = nil
		s.task.Exclude(nil)
	}
}
