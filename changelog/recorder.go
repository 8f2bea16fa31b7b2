package changelog

import (
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// Recorder turns the mutations of one store in one commit into changelog
// records. It implements state.Recorder.
type Recorder struct {
	TopicPartition commitlog.TopicPartition
	Builder        recordbatch.Builder
}

// Record adds one mutation; a nil value is a tombstone.
func (r *Recorder) Record(time int64, key, value []byte) error {
	r.Builder.Append(time, key, value, nil)
	return nil
}
