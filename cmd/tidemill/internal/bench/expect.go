package bench

// hourlyMeans is the expected result of W1: a cell for each meter and hour.
type hourlyMeans struct {
	first   int64 // start of the first hour
	hours   int   // per meter
	cells   []mean
	dropped int64 // readings that came too late
}

// expectHourly computes W1 from its definition. The engine has no part in it.
func (j Job) expectHourly() *hourlyMeans {
	e := &hourlyMeans{first: hourOf(epoch - jitter)}
	e.hours = int((hourOf(epoch+int64(j.N)*round+jitter)-e.first)/hour) + 1
	e.cells = make([]mean, j.Keys*e.hours)
	streamTime := make([]int64, j.Partitions)
	places := j.places()
	for _, r := range j.readings() {
		now := &streamTime[places[r.key]]
		*now = max(*now, r.at)
		start := hourOf(r.at)
		if late(start, *now) {
			e.dropped++
			continue
		}
		i, _ := e.cell(r.key, start)
		e.cells[i] = e.cells[i].add(r.kwh)
	}
	return e
}

// cell returns the place of a meter and hour, if there is one.
func (e *hourlyMeans) cell(meter uint32, start int64) (int, bool) {
	h := (start - e.first) / hour
	i := int(meter)*e.hours + int(h)
	return i, start >= e.first && hourOf(start) == start && h < int64(e.hours) && i < len(e.cells)
}

// results is the number of windows with at least one reading.
func (e *hourlyMeans) results() (n int64) {
	for _, c := range e.cells {
		if c.N > 0 {
			n++
		}
	}
	return n
}

// expectCounts computes W2 from its definition.
func (j Job) expectCounts() []int64 {
	counts := make([]int64, j.Keys)
	for _, r := range j.readings() {
		counts[r.key]++
	}
	return counts
}
