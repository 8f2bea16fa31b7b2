package topology

// Emission says when an aggregation passes its results on.
type Emission uint8

const (
	// OnUpdate passes on every update as it happens. It is the default.
	OnUpdate Emission = iota
	// OnCommit passes on the rows that changed, once per key and commit: for each
	// key a subsequence of what OnUpdate emits, with the same last value. How many
	// there are depends on when commits happen. A deleted row comes out with the
	// stream time of its task.
	OnCommit
	// OnClose passes on one result per window, when the window closes, ordered by
	// window start and encoded key. Only a record moves stream time, so a window
	// closes with the first record late enough.
	OnClose
)

// String names the emission.
func (e Emission) String() string {
	switch e {
	case OnCommit:
		return "per commit"
	case OnClose:
		return "on close"
	}
	return "on update"
}
