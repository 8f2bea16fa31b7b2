package streamtest_test

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/runtime/streamtest"
)

// exampleT stands in for the *testing.T that a test has.
type exampleT struct{ cleanups []func() }

func (t *exampleT) Helper()                           {}
func (t *exampleT) Logf(string, ...any)               {}
func (t *exampleT) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }

func (t *exampleT) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

// A sum per minute, which comes out when stream time has passed the end of the
// minute and the grace. A real test says streamtest.Run(t, sumMinutes, body), and
// the body is repeated in every mode.
func Example() {
	t := &exampleT{}
	defer t.end()
	d := streamtest.New(t, sumMinutes, streamtest.Mode{Schedule: streamtest.EveryRestart, Engine: streamtest.Pebble})

	noon := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	in := streamtest.Input(d, readings)
	in.SendAt("m17", 1.5, noon)
	in.SendAt("m17", 2, noon.Add(59*time.Second))
	in.SendAt("m18", 4, noon.Add(70*time.Second))

	for _, r := range streamtest.Output(d, sums).Records() {
		fmt.Println(r.Key.Key, r.Key.Start, r.Value)
	}
	for _, row := range streamtest.WindowRows(d, minuteSum) {
		fmt.Println("row", row.Key.Key, row.Key.Start, row.Value)
	}
	// Output:
	// m17 2024-05-01T12:00:00.000Z 3.5
	// row m17 2024-05-01T12:00:00.000Z 3.5
	// row m18 2024-05-01T12:01:00.000Z 4
}
