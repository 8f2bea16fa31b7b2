package assign

import (
	"fmt"
	"maps"
	"testing"
)

// large is 10,000 tasks on 100 members, planned already.
func large(subs int) cluster {
	c := cluster{}
	for m := range 100 {
		c.members = append(c.members, fmt.Sprintf("m%02d", m))
	}
	for i := range 10_000 {
		c.tasks = append(c.tasks, Task{fmt.Sprint("s", i%subs), int32(i / subs)})
	}
	c.previous = c.plan(Plan)
	return c
}

// scattered gives every task to a random member.
func scattered(c cluster) map[string][]Task {
	r, previous := random(1), map[string][]Task{}
	for _, task := range c.tasks {
		m := c.members[r.IntN(len(c.members))]
		previous[m] = append(previous[m], task)
	}
	return previous
}

func BenchmarkPlan(b *testing.B) {
	for _, subs := range []int{1, 20, 1000} {
		full := large(subs)
		for _, change := range []struct {
			name  string
			apply func(c *cluster)
		}{
			{"first", func(c *cluster) { c.previous = nil }},
			{"same", func(*cluster) {}},
			{"one joins", func(c *cluster) { c.members = append(c.members, "new") }},
			{"one leaves", func(c *cluster) { c.members = c.members[1:] }},
			{"half leave", func(c *cluster) { c.members = c.members[:50] }},
			{"doubled", func(c *cluster) { c.previous = Plan(c.members[:50], c.tasks, c.previous) }},
			{"all on one", func(c *cluster) { c.previous = map[string][]Task{"m00": c.tasks} }},
			{"random before", func(c *cluster) { c.previous = scattered(*c) }},
			{"random before, half leave", func(c *cluster) { c.previous, c.members = scattered(*c), c.members[:50] }},
			{"all contested", func(c *cluster) {
				c.previous = maps.Clone(c.previous)
				for i, m := range c.members {
					c.previous[m] = append(c.previous[m], c.previous[c.members[(i*7+1)%50]]...)
				}
			}},
		} {
			b.Run(fmt.Sprintf("%d subs/%s", subs, change.name), func(b *testing.B) {
				c := full
				change.apply(&c)
				b.ReportAllocs()
				for b.Loop() {
					c.plan(Plan)
				}
			})
		}
	}
}

func BenchmarkStep(b *testing.B) {
	c := large(20)
	claims := []Claim{{Member: "new"}}
	for m, tasks := range c.previous {
		claims = append(claims, Claim{Member: m, Generation: 7, Owned: tasks})
	}
	b.ReportAllocs()
	for b.Loop() {
		Step(claims, c.tasks)
	}
}
