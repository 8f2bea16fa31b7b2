// Package bench runs the engine on fixed workloads and checks every result.
//
// A run is a sequence of phases, each in a process of its own, so that the
// memory and CPU time of one say nothing about another:
//
//	fill         writes the input topic
//	process      runs the engine over it, from the first record to the last commit
//	restore      (W3 only) rebuilds the stores of a run whose state was deleted
//	handwritten  does the same work in a plain loop, without durability
//	verify       compares the result topic with an offline computation
//
// What a phase is told is a [Job], what it answers is an [Outcome]; both travel
// as JSON. [Run] is the order of the phases.
package bench
