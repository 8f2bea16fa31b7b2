package topology

import "testing"

// ToStream and Updates see every update of a table; only in Updates is there a
// place for a deletion.
func TestUpdatesShowDeletionsAsAbsentValues(t *testing.T) {
	inModes(t, func(b *Builder) {
		g := Source(b, numbers("in")).GroupByKey()
		table := AggregateOpt(g, deleteOnZero, rowsStore("sums"))
		Updates(table).To(deletable("first"))
		Updates(table).To(deletable("second"))
		counts := Count(g, rowsStore("counts"))
		counts.ToStream().To(numbers("stream"))
		Updates(counts).To(deletable("updates"))
	}, func(t *testing.T, d *driver) {
		d.send("in", "a", 1, 1)
		d.expect("first: a=1001@1", "second: a=1001@1", "stream: a=1@1", "updates: a=1@1")
		d.send("in", "a", 0, 2)
		d.expect("first: a=null@2", "second: a=null@2", "stream: a=2@2", "updates: a=2@2")
	})
}
