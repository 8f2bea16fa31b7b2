// Package simtest runs whole nodes, log and stores on one disk in memory, and
// takes their power away at random moments. What is left of the disk is opened
// again, several times a run, and in the end everything that an application may
// rely on is compared with a model that never crashed: stores, output topics,
// positions, and what the producer had been told was durable.
//
// A run is a function of its seed as far as the goroutines that write to the disk
// allow: they may come to the fatal call in another order when it is repeated.
//
//	go test ./runtime/simtest                                1,000 seeds step by step, 50 as a running App
//	TIDEMILL_LONG=1 go test -timeout 30m ./runtime/simtest   ten times as many
//	TIDEMILL_SEED=17 go test -v ./runtime/simtest            only that one
package simtest
