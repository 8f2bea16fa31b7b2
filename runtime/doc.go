// Package runtime runs a topology: it opens the log and the stores, spreads the
// tasks over workers, serves queries over HTTP, and stops cleanly.
//
//	err := runtime.Run(ctx, hourlyAverage, runtime.Config{Dir: "data", Listen: "127.0.0.1:8080"})
//
// Results are exactly-once without any setting: outputs, changelogs, positions
// and input offsets become durable in one transaction of the log, and the stores
// follow the log. A crash at any moment costs a replay of the tail.
//
// The package name shadows the standard library's; import that one as goruntime
// where both are needed.
package runtime
