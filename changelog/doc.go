// Package changelog joins state and log: it names an application's internal
// topics, records the mutations of stores as changelog records ([Recorder]),
// encodes the position of a task ([Position]), and rebuilds a store from its
// changelog ([Restorer]).
//
// The names and layouts are durable; they are drawn in FORMAT.md.
package changelog
