package changelog

import (
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
	"github.com/tidemill/tidemill/processor"
)

// LogHeaders turns the headers of a record into those of the log, which knows
// nothing of processors. Values are shared.
func LogHeaders(headers []processor.Header) []recordbatch.Header {
	if len(headers) == 0 {
		return nil
	}
	out := make([]recordbatch.Header, len(headers))
	for i, h := range headers {
		out[i] = recordbatch.Header{Key: h.Key, Value: h.Value}
	}
	return out
}

// RecordHeaders is the way back.
func RecordHeaders(headers []recordbatch.Header) []processor.Header {
	if len(headers) == 0 {
		return nil
	}
	out := make([]processor.Header, len(headers))
	for i, h := range headers {
		out[i] = processor.Header{Key: h.Key, Value: h.Value}
	}
	return out
}
