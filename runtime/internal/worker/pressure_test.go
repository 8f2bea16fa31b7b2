package worker_test

import (
	"context"
	"testing"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// The queue of a partition stays within BufferBytes plus one poll, which is no
// larger.
func TestBackPressure(t *testing.T) {
	h := newTwoInputs(t)
	h.cfg.BufferBytes = 2 << 10
	slow := &slowLog{Log: h.log, topic: "b", held: true}
	h.cfg.Log = slow
	most := 0
	measured := &measuringLog{Log: slow, most: &most}
	h.cfg.Log = measured
	h.send("b", sent{0, 0})
	var many []sent
	for i := range int64(2000) {
		many = append(many, sent{i + 1, i + 1})
	}
	h.send("a", many...)
	h.start()
	for range 50 {
		h.turn()
	}
	if most > 2*h.cfg.BufferBytes {
		t.Errorf("%d bytes were fetched and not processed, BufferBytes is %d", most, h.cfg.BufferBytes)
	}
	slow.held = false
	if n := h.settle(); n != 2001 {
		t.Errorf("%d records were processed, want 2001", n)
	}
}

// measuringLog sums what is handed out of topic a.
type measuringLog struct {
	commitlog.Log
	most *int
}

type measuringReader struct {
	commitlog.Reader
	most *int
}

func (l *measuringLog) NewReader(o commitlog.ReaderOptions) (commitlog.Reader, error) {
	r, err := l.Log.NewReader(o)
	return &measuringReader{r, l.most}, err
}

func (r *measuringReader) Poll(ctx context.Context) ([]commitlog.Fetched, error) {
	fetched, err := r.Reader.Poll(ctx)
	for _, f := range fetched {
		for _, b := range f.Batches {
			if f.Topic == "a" {
				*r.most += len(b.Raw)
			}
		}
	}
	return fetched, err
}
