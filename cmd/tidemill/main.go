// Command tidemill looks into running applications and measures the engine.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/tidemill/tidemill/cmd/tidemill/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := cli.Main(ctx, cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}
