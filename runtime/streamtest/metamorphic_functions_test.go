package streamtest_test

import (
	"fmt"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/processor"
)

// The pure functions of a plan: what a user would pass to the operators. Engine and
// model share them; they are parameters of the rules, not rules.

func (p *plan) placement() func(key []byte, n int32) int32 {
	if p.murmur {
		return commitlog.Murmur2
	}
	return func(key []byte, n int32) int32 {
		sum := int32(0)
		for _, b := range key {
			sum += int32(b)
		}
		return sum % n
	}
}

func mod(v number, by, n int64) int64 { return ((v.Value+by)%n + n) % n }

// when is the value, or null.
func when(present bool, v int64) number {
	if !present {
		return number{}
	}
	return processor.Some(v)
}

func (o op) keep(_ string, v number) bool {
	if !v.OK {
		return o.a%2 == 0
	}
	return mod(v, o.a, 4) != 0
}

func (o op) mapped(v number) number {
	if !v.OK {
		return when(o.b%3 == 0, 5)
	}
	return processor.Some((v.Value*(o.a+1) + o.b) % 10_007)
}

// several gives none, one or two values.
func (o op) several(v number) []number {
	if !v.OK {
		return make([]number, 1+o.a%2)
	}
	return []number{v, processor.Some(v.Value + o.b)}[:mod(v, o.a, 3)]
}

func (o op) newKey(k string, v number) string {
	if o.a%3 == 0 {
		return k[:1]
	}
	return fmt.Sprintf("k%d", mod(v, o.a, 4))
}

// takes is predicate number port of a branch.
func (o op) takes(port int64) func(string, number) bool {
	return func(_ string, v number) bool { return mod(v, o.a+port, 3) == 0 }
}

// combine depends on the order of its values.
func combine(aggregate, value int64) int64 { return (aggregate*31 + value + 1) % 10_007 }

func (o op) combineOpt(aggregate int64, v number) number {
	if !v.OK {
		return number{}
	}
	return when(mod(v, o.a, 4) != 0, combine(aggregate, v.Value))
}

func (o op) initial() int64 { return o.a * 100 }

func (o op) addTo(aggregate int64, v number) int64 { return combine(aggregate, v.Or(o.b)) }

func (o op) initialOpt() number { return when(o.b%2 == 0, 9) }

func (o op) addToOpt(aggregate number, v number) number {
	if !aggregate.OK && mod(v, o.a, 5) == 0 {
		return number{}
	}
	return when(mod(v, o.a, 4) != 0, combine(aggregate.Or(3), v.Or(o.b)))
}
