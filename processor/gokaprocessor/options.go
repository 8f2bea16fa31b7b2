package gokaprocessor

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/lovoo/goka"

	"github.com/tidemill/tidemill/processor"
)

// A goka.ContextOption is a function over a struct that goka keeps to itself. What
// it sets can be seen by calling it on a struct of that type and looking at the
// field, which reflection allows.
var (
	optionsType   = reflect.TypeFor[goka.ContextOption]().In(0).Elem()
	headersField  = "emitHeaders"
	wantedHeaders = reflect.TypeFor[goka.Headers]()
)

// optionsReadable is an error if goka keeps headers elsewhere than this package
// knows. It is asked once, when a group is declared.
func optionsReadable() error {
	if f, ok := optionsType.FieldByName(headersField); !ok || f.Type != wantedHeaders {
		return fmt.Errorf("the options of goka's context have changed: %s has no field %s of type %s; use goka %s",
			optionsType, headersField, wantedHeaders, Pin)
	}
	return nil
}

// headersOf returns the headers that options set, nil without options.
func headersOf(options []goka.ContextOption) goka.Headers {
	if len(options) == 0 {
		return nil
	}
	set := reflect.New(optionsType)
	for _, o := range options {
		reflect.ValueOf(o).Call([]reflect.Value{set})
	}
	headers := goka.Headers{}
	for it := set.Elem().FieldByName(headersField).MapRange(); it.Next(); {
		headers[it.Key().String()] = slices.Clone(it.Value().Bytes())
	}
	return headers
}

// recordHeaders puts headers into the order of their names, so that equal records
// have equal bytes.
func recordHeaders(h goka.Headers) []processor.Header {
	if len(h) == 0 {
		return nil
	}
	out := make([]processor.Header, 0, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		out = append(out, processor.Header{Key: name, Value: h[name]})
	}
	return out
}

// callbackHeaders is what a callback sees: of several headers of one name the
// last.
func callbackHeaders(headers []processor.Header) goka.Headers {
	h := goka.Headers{}
	for _, header := range headers {
		h[header.Key] = slices.Clone(header.Value)
	}
	return h
}
