// Package group is the coordinator of consumer groups: who takes part, in which
// generation, with what assignment. It speaks of them as Kafka's classic group
// protocol does (join, sync, heartbeat, leave; member id, generation, error codes).
//
// [Machine] is one group as a pure state machine: it has no clock, lock or
// goroutine, every event comes with its time, and what it returns are the
// answers that the event releases. [Coordinator] holds the machines of one log
// and puts a lock and timers around them; its [Member] implements
// commitlog.Member for callers in the same process.
//
//	          join              all joined, or time is over        the leader synced
//	Empty ---------> Preparing ---------------------------> Completing ---------> Stable
//	  ^               |  ^   ^                                  |                   |
//	  | nobody left   |  |   +--- join, leave, silence ---------+                   |
//	  +---------------+  +------- join, leave, silence -----------------------------+
//
// Invariants, held by the model test:
//   - a generation has one leader, and its number only grows;
//   - every request is answered exactly once, within the rebalance timeouts;
//   - an instance id has one member at a time, the newest.
//
// Membership is in memory only: a log in this process has no members left when
// the process is gone.
package group
