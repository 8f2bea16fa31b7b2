package processor

import "fmt"

// Opt is a value that may be absent. It is how this engine spells null: the key
// or value of a nullable topic, the missing side of an outer join, the result of
// an aggregator that may delete its row. The zero Opt is absent.
type Opt[T any] struct {
	Value T
	OK    bool
}

// Some returns a present value.
func Some[T any](v T) Opt[T] { return Opt[T]{Value: v, OK: true} }

// None returns the absent value.
func None[T any]() Opt[T] { return Opt[T]{} }

// Get returns the value and whether it is there, for use in an if.
func (o Opt[T]) Get() (T, bool) { return o.Value, o.OK }

// Or returns the value, or other if there is none.
func (o Opt[T]) Or(other T) T {
	if o.OK {
		return o.Value
	}
	return other
}

// String formats the value, or "null".
func (o Opt[T]) String() string {
	if !o.OK {
		return "null"
	}
	return fmt.Sprint(o.Value)
}

// nullCheck lets [NullCheck] find out at wiring time, without boxing a value per
// record, that a type is an Opt.
func (Opt[T]) nullCheck() any { return func(o Opt[T]) bool { return !o.OK } }

// NullCheck returns a function that tells whether a T is null, or nil if T is a
// type that never is (every type but an Opt). Call it once when a node is wired.
func NullCheck[T any]() func(T) bool {
	var zero T
	c, ok := any(zero).(interface{ nullCheck() any })
	if !ok {
		return nil
	}
	return c.nullCheck().(func(T) bool)
}
