package processor

// Holder is what the [TaskContext] of an engine also is if it can put off commits:
// a processor that starts work elsewhere, whose end decides whether the record at
// hand was processed, holds the record meanwhile.
type Holder interface {
	// Hold keeps the record at hand from being committed until release is called:
	// its effects, its position, and those of everything that the task does after
	// it. Several holds of one record all have to be released. The task goes on for
	// as long as a commit is not due; then it waits.
	//
	// release may be called from any goroutine, also after the task has ended; only
	// its first call counts. An error ends the application: what was started
	// elsewhere may have happened, so the record cannot be left out.
	//
	// Hold returns nil if whoever runs the processor does not put off commits.
	Hold() (release func(error))
}
