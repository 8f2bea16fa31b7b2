package topology

// Loop reads a topic of the application that the topology itself writes, before it
// is known what writes to it: the way to let a stream lead back to where it comes
// from. The topic is a repartition topic in all other respects (see
// [Stream.Repartition]). feed says what goes into it, and may be called several
// times; not at all is a Build error.
//
// A record that comes round belongs to a later step, of the task of its key. What
// ends the round is up to the processors: a loop that always feeds itself never
// does.
func Loop[K, V any](b *Builder, through Topic[K, V]) (records *Stream[K, V], feed func(*Stream[K, V])) {
	// The source has no feeder as that of Repartition has: whoever follows feeders
	// upwards would go round for ever.
	records = source(b, through, true)
	if through.EventTime != nil {
		b.fail(records.n.name, "a loop carries the times of its records; remove EventTime")
	}
	return records, func(s *Stream[K, V]) {
		if s.b.declarations != b.declarations {
			b.fail(records.n.name, "the stream that feeds it belongs to another topology; declare both on one Builder")
			return
		}
		s.to(through, true)
	}
}

// checkLoops finds loops that nothing leads into.
func (b *Builder) checkLoops() {
	for _, n := range b.nodes {
		if n.kind == kindSource && n.topic.Internal && !n.topic.Sink {
			b.fail(n.name, "nothing feeds this loop; call the function that Loop returned with a stream, or use Source")
		}
	}
}
