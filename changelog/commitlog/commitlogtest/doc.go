// Package commitlogtest is the conformance kit of the log contract: what every
// commitlog.Log must do, as cases that return an error. Run runs them as tests;
// [Cases] and [Check] run them one by one, which is how the kit's own tests show
// that a log with a fault is reported.
//
// Cases assume no more than the contract: offsets may have gaps, a log may hold
// other topics.
package commitlogtest
