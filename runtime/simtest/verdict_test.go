package simtest

import (
	"fmt"
	"maps"
	"slices"
)

// verdict counts what a checker found.
type verdict struct {
	acked, lost, dup, wrong int
	// starting, running and idle count the crashes by what the node was doing, and
	// rebuilt the stores that were dropped: a crash costs a tail, never a store.
	starting, running, idle, rebuilt int
	notes                            []string
}

func (v *verdict) bad() bool { return v.lost+v.dup+v.wrong+v.rebuilt > 0 }

func (v *verdict) add(o verdict) {
	v.acked, v.lost, v.dup, v.wrong = v.acked+o.acked, v.lost+o.lost, v.dup+o.dup, v.wrong+o.wrong
	v.starting, v.running, v.idle, v.rebuilt = v.starting+o.starting, v.running+o.running, v.idle+o.idle, v.rebuilt+o.rebuilt
}

func (v *verdict) line(seed any) string {
	return fmt.Sprintf("power-loss seed=%v acked=%d lost=%d dup=%d wrong=%d, %d crashes while starting, %d while running, %d while idle, %d stores rebuilt",
		seed, v.acked, v.lost, v.dup, v.wrong, v.starting, v.running, v.idle, v.rebuilt)
}

func (v *verdict) note(format string, args ...any) {
	if len(v.notes) < 20 {
		v.notes = append(v.notes, fmt.Sprintf(format, args...))
	}
}

// values compares a sequence with the one expected: what is missing is lost, what
// is too much a duplicate, and another order is wrong.
func (v *verdict) values(where string, got, want []int64) {
	if slices.Equal(got, want) {
		return
	}
	v.note("%s: got %v, want %v", where, got, want)
	left := map[int64]int{}
	for _, x := range want {
		left[x]++
	}
	for _, x := range got {
		left[x]--
	}
	found := false
	for _, n := range left {
		v.lost, v.dup = v.lost+max(n, 0), v.dup+max(-n, 0)
		found = found || n != 0
	}
	if !found {
		v.wrong++
	}
}

func (v *verdict) series(topic string, got, want series) {
	for _, key := range keys(got, want) {
		v.values(topic+" "+key, got[key], want[key])
	}
}

// sample accepts a subsequence with the same last value.
func (v *verdict) sample(topic string, got, want series) {
	for _, key := range keys(got, want) {
		g, w := got[key], want[key]
		at := 0
		for _, x := range g {
			i := slices.Index(w[at:], x)
			if i < 0 {
				v.wrong++
				v.note("%s %s: %v is no subsequence of %v", topic, key, g, w)
				break
			}
			at += i + 1
		}
		if len(w) > 0 && (len(g) == 0 || g[len(g)-1] != w[len(w)-1]) {
			v.lost++
			v.note("%s %s: ends with %v, want the last of %v", topic, key, g, w)
		}
	}
}

func (v *verdict) rows(store string, got, want map[string]int64) {
	for _, key := range keys(got, want) {
		g, found := got[key]
		w, wanted := want[key]
		switch {
		case found && wanted && g == w:
			continue
		case !found:
			v.lost++
		default:
			v.wrong++
		}
		v.note("store %s %s: got %d (%v), want %d (%v)", store, key, g, found, w, wanted)
	}
}

func keys[V any, M ~map[string]V](a, b M) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
