package topology

import (
	"cmp"
	"fmt"
	"slices"
)

// Diff compares the declared shape s with the one under which state was stored.
// Each sentence names one change that makes stored state unusable, or leaves it
// where no task looks for it; no sentence means that the stored state fits.
//
// What was added or removed is not a difference: a new store begins empty, the
// state of a removed one stays where it is. Nor is a renamed processor, which
// only loses the due times of its punctuations.
func (s Shape) Diff(stored Shape) []string {
	d := &shapeDiff{}
	if s.App != stored.App {
		d.add("the application is called %s and was %s: its topics, group and tasks are named after it", s.App, stored.App)
	}
	renamed := d.subs(s, stored)
	d.stores(s.Stores, stored.Stores, renamed)
	d.sources(s, stored, renamed)
	d.repartition(s.Repartition, stored.Repartition)
	return d.sentences
}

type shapeDiff struct{ sentences []string }

func (d *shapeDiff) add(format string, args ...any) {
	d.sentences = append(d.sentences, fmt.Sprintf(format, args...))
}

// differs adds a sentence if a property of a named thing changed.
func (d *shapeDiff) differs(thing, what string, was, is any) {
	if was != is {
		d.add("%s changed its %s from %v to %v", thing, what, was, is)
	}
}

// subs finds renamed sub-topologies: a stored name that is gone, whose sources or
// stores are now in one of a new name. It returns the new name by the old one, so
// that one change is told once and not again for every store.
func (d *shapeDiff) subs(s, stored Shape) map[string]string {
	renamed := map[string]string{}
	for _, old := range stored.Subs {
		if _, kept := findBy(s.Subs, old.Name, subName); kept {
			continue
		}
		for _, sub := range s.Subs {
			_, existed := findBy(stored.Subs, sub.Name, subName)
			if !existed && (shares(old.Sources, sub.Sources) || shares(old.Stores, sub.Stores)) {
				renamed[old.Name] = sub.Name
				d.add("sub-topology %s was renamed to %s: the positions and the state of its tasks are kept under the old name",
					old.Name, sub.Name)
				break
			}
		}
	}
	return renamed
}

func (d *shapeDiff) stores(declared, stored []ShapeStore, renamed map[string]string) {
	for _, was := range stored {
		is, kept := findBy(declared, was.Name, func(s ShapeStore) string { return s.Name })
		if !kept {
			continue
		}
		thing := "store " + was.Name
		d.differs(thing, "kind", was.Kind, is.Kind)
		d.differs(thing, "key serde", was.Key, is.Key)
		d.differs(thing, "value serde", was.Value, is.Value)
		d.differs(thing, "window size", millis(was.WindowSizeMS), millis(is.WindowSizeMS))
		d.differs(thing, "changelog topic", cmp.Or(was.Changelog, "the default"), cmp.Or(is.Changelog, "the default"))
		if was.Sub != is.Sub && renamed[was.Sub] != is.Sub {
			d.add("%s moved from sub-topology %s to %s: its rows belong to the tasks of the old one", thing, was.Sub, is.Sub)
		}
	}
}

// sources compares the topics that are read. One that moved to another
// sub-topology counts, because its position is kept by the tasks of the old one.
func (d *shapeDiff) sources(s, stored Shape, renamed map[string]string) {
	for _, was := range stored.Sources {
		is, kept := findBy(s.Sources, was.Topic, func(s ShapeSource) string { return s.Topic })
		if !kept {
			continue
		}
		thing := "source topic " + was.Topic
		d.differs(thing, "key serde", was.Key, is.Key)
		d.differs(thing, "value serde", was.Value, is.Value)
		from, to := readerOf(stored, was.Topic), readerOf(s, was.Topic)
		if from != to && renamed[from] != to {
			d.add("%s moved from sub-topology %s to %s: its position belongs to the tasks of the old one", thing, from, to)
		}
	}
}

// repartition compares the internal topics. A partition count that is left to the
// runtime is not known here; the runtime compares it with the log.
func (d *shapeDiff) repartition(declared, stored []ShapeRepartition) {
	for _, was := range stored {
		is, kept := findBy(declared, was.Topic, func(s ShapeRepartition) string { return s.Topic })
		if !kept {
			continue
		}
		thing := "repartition topic " + was.Topic
		if was.Partitions != 0 && is.Partitions != 0 {
			d.differs(thing, "partition count", was.Partitions, is.Partitions)
		}
		d.differs(thing, "partitioner", was.Partitioner, is.Partitioner)
		d.differs(thing, "key serde", was.Key, is.Key)
		d.differs(thing, "value serde", was.Value, is.Value)
	}
}

func subName(s ShapeSub) string { return s.Name }

func findBy[T any](list []T, name string, nameOf func(T) string) (found T, ok bool) {
	i := slices.IndexFunc(list, func(t T) bool { return nameOf(t) == name })
	if i < 0 {
		return found, false
	}
	return list[i], true
}

// readerOf is the sub-topology that reads a topic.
func readerOf(s Shape, topic string) string {
	for _, sub := range s.Subs {
		if slices.Contains(sub.Sources, topic) {
			return sub.Name
		}
	}
	return ""
}

func shares(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}
