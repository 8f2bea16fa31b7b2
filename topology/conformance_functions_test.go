package topology_test

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidemill/tidemill/processor"
)

// The functions that scenarios name, as "name" or "name:argument".

type (
	predicate  = func(optKey, optValue) bool
	mapper     = func(optValue) optValue
	selector   = func(optKey, optValue) optKey
	splitter   = func(optValue) []optValue
	aggregator = func(agg, v optValue) optValue
)

func splitFunction(f string) (name, arg string, number int64) {
	name, arg, _ = strings.Cut(f, ":")
	number, _ = strconv.ParseInt(arg, 10, 64)
	return name, arg, number
}

func unknown(kind, f string) error { return fmt.Errorf("unknown %s %q", kind, f) }

// text is the text form of a value that may be null.
func text(v optValue) string { return v.String() }

func textOf(s string) optValue { return processor.Some(textValue(s)) }

func keyOf(s string, ok bool) optKey {
	if !ok {
		return optKey{}
	}
	return processor.Some(Key{Text: s})
}

func newPredicate(f string) (predicate, error) {
	name, arg, n := splitFunction(f)
	switch name {
	case "valueNull":
		return func(_ optKey, v optValue) bool { return !v.OK }, nil
	case "valueNotNull":
		return func(_ optKey, v optValue) bool { return v.OK }, nil
	case "keyNotNull":
		return func(k optKey, _ optValue) bool { return k.OK }, nil
	case "keyIs":
		return func(k optKey, _ optValue) bool { return k.OK && k.Value.Text == arg }, nil
	case "startsWith":
		return func(_ optKey, v optValue) bool { return v.OK && strings.HasPrefix(text(v), arg) }, nil
	case "lengthGt":
		return func(_ optKey, v optValue) bool { return v.OK && utf8.RuneCountInString(text(v)) > int(n) }, nil
	case "gt":
		return func(_ optKey, v optValue) bool { return v.OK && v.Value.number() > float64(n) }, nil
	case "even":
		return func(_ optKey, v optValue) bool { return v.OK && v.Value.Kind == IntValue && v.Value.Int%2 == 0 }, nil
	}
	return nil, unknown("predicate", f)
}

func newMapper(f string) (mapper, error) {
	name, arg, n := splitFunction(f)
	if name == "orElse" {
		return func(v optValue) optValue {
			if v.OK {
				return v
			}
			return textOf(arg)
		}, nil
	}
	present := map[string]func(Value) optValue{
		"same":   processor.Some[Value],
		"upper":  func(v Value) optValue { return textOf(strings.ToUpper(v.String())) },
		"append": func(v Value) optValue { return textOf(v.String() + arg) },
		"length": func(v Value) optValue { return processor.Some(intValue(int64(utf8.RuneCountInString(v.String())))) },
		"times":  func(v Value) optValue { return processor.Some(intValue(v.Int * n)) },
		"nullIf": func(v Value) optValue { return optValue{Value: v, OK: v.String() != arg} },
		"part": func(v Value) optValue {
			s, ok := part(v.String(), n)
			return optValue{Value: textValue(s), OK: ok}
		},
	}[name]
	if present == nil {
		return nil, unknown("value function", f)
	}
	return func(v optValue) optValue {
		if !v.OK {
			return v
		}
		if w := present(v.Value); w.OK {
			return w
		}
		return optValue{}
	}, nil
}

// part is the i-th piece of a text between colons.
func part(s string, i int64) (string, bool) {
	parts := strings.Split(s, ":")
	if i >= int64(len(parts)) || parts[i] == "" {
		return "", false
	}
	return parts[i], true
}

func firstChar(s string) (string, bool) {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n], n > 0
}

func newSelector(f string) (selector, error) {
	name, arg, n := splitFunction(f)
	switch name {
	case "key":
		return func(k optKey, _ optValue) optKey { return k }, nil
	case "constant":
		return func(optKey, optValue) optKey { return keyOf(arg, true) }, nil
	case "keyFirstChar":
		return func(k optKey, _ optValue) optKey { return keyOf(firstChar(k.Value.Text)) }, nil
	case "windowKey":
		return func(k optKey, _ optValue) optKey { return keyOf(k.Value.Text, k.OK) }, nil
	case "windowKeyStart":
		return func(k optKey, _ optValue) optKey {
			return keyOf(fmt.Sprintf("%s@%d", k.Value.Text, k.Value.Start), k.OK)
		}, nil
	}
	fromValue := map[string]func(Value) (string, bool){
		"value":     func(v Value) (string, bool) { return v.String(), true },
		"firstChar": func(v Value) (string, bool) { return firstChar(v.String()) },
		"part":      func(v Value) (string, bool) { return part(v.String(), n) },
		"mod":       func(v Value) (string, bool) { return "m" + strconv.FormatInt(v.Int%n, 10), true },
	}[name]
	if fromValue == nil {
		return nil, unknown("key selector", f)
	}
	return func(_ optKey, v optValue) optKey {
		if !v.OK {
			return optKey{}
		}
		return keyOf(fromValue(v.Value))
	}, nil
}

func newSplitter(f string) (splitter, error) {
	name, _, n := splitFunction(f)
	switch name {
	case "words":
		return func(v optValue) (out []optValue) {
			if !v.OK {
				return nil
			}
			for w := range strings.SplitSeq(text(v), " ") {
				if w != "" {
					out = append(out, textOf(w))
				}
			}
			return out
		}, nil
	case "repeat":
		return func(v optValue) (out []optValue) {
			for range n {
				if v.OK {
					out = append(out, v)
				}
			}
			return out
		}, nil
	}
	return nil, unknown("split", f)
}

// newAggregator also serves reducers, adders and subtractors.
func newAggregator(f string) (aggregator, error) {
	name, arg, _ := splitFunction(f)
	switch name {
	case "sum":
		return unlessNull(func(agg, v Value) Value { return add(agg, v, 1) }), nil
	case "subtract":
		return unlessNull(func(agg, v Value) Value { return add(agg, v, -1) }), nil
	case "max":
		return unlessNull(larger), nil
	case "concat":
		return func(agg, v optValue) optValue {
			if !agg.OK || text(agg) == "" {
				return textOf(text(v))
			}
			return textOf(text(agg) + arg + text(v))
		}, nil
	case "log":
		return func(agg, v optValue) optValue { return textOf(text(agg) + arg + text(v)) }, nil
	case "last":
		return func(_, v optValue) optValue { return v }, nil
	case "keep":
		return func(agg, _ optValue) optValue { return agg }, nil
	case "nullOn":
		return func(agg, v optValue) optValue {
			if text(v) == arg {
				return optValue{}
			}
			return textOf(text(agg) + "+" + text(v))
		}, nil
	}
	return nil, unknown("aggregator", f)
}

// unlessNull gives the other one when one of aggregate and value is null.
func unlessNull(combine func(agg, v Value) Value) aggregator {
	return func(agg, v optValue) optValue {
		switch {
		case !v.OK:
			return agg
		case !agg.OK:
			return v
		}
		return processor.Some(combine(agg.Value, v.Value))
	}
}

func add(a, b Value, sign int64) Value {
	if a.Kind == DoubleValue || b.Kind == DoubleValue {
		return doubleValue(a.number() + float64(sign)*b.number())
	}
	return intValue(a.Int + sign*b.Int)
}

func larger(a, b Value) Value {
	less := a.number() < b.number()
	if a.Kind == TextValue {
		less = a.Text < b.Text
	}
	if less {
		return b
	}
	return a
}
