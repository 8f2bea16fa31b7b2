package gokaprocessor

import (
	"testing"

	"github.com/lovoo/goka"

	"github.com/tidemill/tidemill/runtime/streamtest"
)

// The comparison with goka would tell these from the right behaviour.
func TestControls(t *testing.T) {
	for name, c := range map[string]struct {
		program string
		wrap    goka.ContextWrapper
	}{
		"Value gives the same object twice": {"tombstones", func(ctx goka.Context) goka.Context { return &sticky{gokaContext: ctx} }},
		"headers of options are lost":       {"headers", func(ctx goka.Context) goka.Context { return bare{ctx} }},
		"Delete does nothing":               {"tombstones", func(ctx goka.Context) goka.Context { return keeping{ctx} }},
		"Loopback does nothing":             {"visits with a loop", func(ctx goka.Context) goka.Context { return straight{ctx} }},
		"Join knows other keys":             {"join and lookup", func(ctx goka.Context) goka.Context { return loose{ctx} }},
	} {
		t.Run(name, func(t *testing.T) {
			p := programs[c.program]
			want := onGoka(t, p.group(), p.input)
			wrong := p.group()
			wrong.ContextWrapper = c.wrap
			if len(differences(onEngine(t, wrong, p.input, streamtest.Mode{}), want)) == 0 {
				t.Error("the comparison finds no difference")
			}
		})
	}
}

// gokaContext has another name than the method Context.
type gokaContext = goka.Context

type sticky struct {
	gokaContext
	value any
}

func (s *sticky) Value() any {
	if s.value == nil {
		s.value = s.gokaContext.Value()
	}
	return s.value
}

type bare struct{ gokaContext }

func (b bare) Emit(topic goka.Stream, key string, v any, _ ...goka.ContextOption) {
	b.gokaContext.Emit(topic, key, v)
}

type keeping struct{ gokaContext }

func (keeping) Delete(...goka.ContextOption) {}

type straight struct{ gokaContext }

func (straight) Loopback(string, any, ...goka.ContextOption) {}

type loose struct{ gokaContext }

func (loose) Join(goka.Table) any { return "Ann" }
