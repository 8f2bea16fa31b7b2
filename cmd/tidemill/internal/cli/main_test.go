package cli

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/tidemill/tidemill/cmd/tidemill/internal/bench"
)

// asProgram makes the test binary behave as tidemill, so that the phases of a
// benchmark can run in processes of their own.
const asProgram = "TIDEMILL_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main(context.Background(), Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// outcome is what a command line has left.
type outcome struct {
	code           int
	stdout, stderr string
}

// tidemill runs a command line in this process.
func tidemill(t *testing.T, phases bench.Phases, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Main(t.Context(), Env{Stdin: bytes.NewReader(nil), Stdout: &stdout, Stderr: &stderr, Phases: phases}, args)
	return outcome{code, stdout.String(), stderr.String()}
}
