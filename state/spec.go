package state

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Kind is the shape of a store.
type Kind uint8

const (
	// KindKeyValue holds one row per key.
	KindKeyValue Kind = 1 + iota
	// KindWindow holds one row per key and window start, ordered by start.
	KindWindow
	// KindSession holds one row per key and session, under the key, by end.
	KindSession
	// KindSliding holds one row per key and window start, under the key.
	KindSliding
	// KindBuffer holds at most one update per key, under the time it waits for.
	KindBuffer
	// KindJoin holds the records of one side of a join, any number per key and time.
	KindJoin
	// KindVersioned holds the versions of each key, under the key, by time.
	KindVersioned
	// KindHeld holds records of a stream that wait for their time.
	KindHeld
)

// String names the kind as it stands in the durable shape.
func (k Kind) String() string {
	switch k {
	case KindKeyValue:
		return "key-value"
	case KindWindow:
		return "window"
	case KindSession:
		return "session"
	case KindSliding:
		return "sliding-window"
	case KindBuffer:
		return "suppress-buffer"
	case KindJoin:
		return "join"
	case KindVersioned:
		return "versioned"
	case KindHeld:
		return "held-records"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Spec describes a store without its types.
type Spec struct {
	Name  string
	Kind  Kind
	Key   string // name of the key serde
	Value string // name of the value serde
	// WindowSize is the length of a row's window, for window stores that an
	// aggregation fills; 0 when a processor writes them. Of a join it is the length
	// of the slices of time that its rows lie in.
	WindowSize time.Duration
	// Retention is how long a window row is kept after its start, in stream
	// time; 0 leaves it to whoever declares the store (see WindowStore.Retention).
	Retention time.Duration
	// Changelog is the changelog topic; "" is the one named after application and
	// store.
	Changelog string
}

// Diff names what differs between two specs in ways that change the meaning of
// stored bytes. Retention may change freely.
func (s Spec) Diff(want Spec) []string {
	var d []string
	add := func(what string, have, want any) {
		if have != want {
			d = append(d, fmt.Sprintf("%s: stored with %v, declared with %v", what, have, want))
		}
	}
	add("kind", s.Kind, want.Kind)
	add("key serde", s.Key, want.Key)
	add("value serde", s.Value, want.Value)
	add("window size", s.WindowSize, want.WindowSize)
	add("changelog topic", cmp.Or(s.Changelog, "(default)"), cmp.Or(want.Changelog, "(default)"))
	return d
}

// MaxNameLength bounds the names of stores, topics and applications: the limit
// of Kafka, less room for the prefixes and suffixes that the engine adds.
const MaxNameLength = 200

// CheckName returns an error for a name that may not become part of a topic name
// or a path. Names are 1 to [MaxNameLength] of A-Z a-z 0-9 . _ -, and neither
// "." nor "..".
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the name is empty")
	case len(name) > MaxNameLength:
		return fmt.Errorf("the name %q has %d bytes, at most %d are allowed", name[:32]+"...", len(name), MaxNameLength)
	case name == "." || name == "..":
		return fmt.Errorf("the name %q is not allowed", name)
	}
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	if i := strings.IndexFunc(name, func(r rune) bool { return !strings.ContainsRune(allowed, r) }); i >= 0 {
		return fmt.Errorf("the name %q has %q at byte %d; allowed are A-Z a-z 0-9 . _ -", name, name[i:i+1], i)
	}
	return nil
}
