package serdetest_test

import (
	"testing"

	"github.com/tidemill/tidemill/processor/serde/serdetest"
)

// A decoder that believes a length is reported.
func TestBoundedReportsATrustingDecoder(t *testing.T) {
	var sink []byte
	spy := &spyTB{TB: t}
	serdetest.Bounded(spy, 10, func() { sink = make([]byte, 8<<20) })
	if !spy.failed || len(sink) == 0 {
		t.Error("8 MiB for 10 bytes of input pass")
	}
	spy.failed = false
	serdetest.Bounded(spy, 10, func() { sink = make([]byte, 1<<20) })
	if spy.failed {
		t.Error("1 MiB is refused")
	}
}

type spyTB struct {
	testing.TB
	failed bool
}

func (s *spyTB) Errorf(string, ...any) { s.failed = true }
func (s *spyTB) Helper()               {}
