package gokaprocessor

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/lovoo/goka"

	"github.com/tidemill/tidemill/runtime/streamtest"
)

// program is a group with what its input may consist of.
type program struct {
	group func() Group
	input []sent // the written-down case, and what random cases are drawn from
}

var programs = map[string]program{
	"count": {counting, []sent{{"words", "a", "x", nil}, {"words", "b", "x", nil}, {"words", "a", "y", nil}, {"words", "", "y", nil}}},
	"visits with a loop": {visiting, []sent{
		{"clicks", "ann", "home", nil}, {"clicks", "bob", "home", nil}, {"clicks", "ann", "shop", nil}, {"clicks", "echo", "shop", nil},
		{"clicks", "ann", "home", nil},
	}},
	"join and lookup": {ordering, []sent{
		{"orders", "c1", "hat", nil}, {"customers", "c1", "Ann", nil}, {"prices", "hat", int64(7), nil}, {"orders", "c1", "hat", nil},
		{"orders", "c2", "hat", nil}, {"customers", "c1", nil, nil}, {"prices", "hat", int64(8), nil}, {"orders", "c1", "hat", nil},
		{"prices", "hat", nil, nil}, {"orders", "c1", "hat", nil},
	}},
	"headers": {heading, []sent{
		{"headed", "a", "x", nil}, {"headed", "b", "y", goka.Headers{"trace": []byte("17"), "by": []byte("input")}},
	}},
	"tombstones": {noting, []sent{
		{"notes", "a", []byte("delete nothing"), nil}, {"notes", "a", []byte("one"), nil}, {"notes", "a", []byte("two"), nil},
		{"notes", "a", []byte("spoil"), nil}, {"notes", "b", []byte("three"), nil}, {"notes", "a", []byte("delete"), nil},
		{"notes", "b", []byte("both"), nil}, {"notes", "a", []byte("again"), nil},
	}},
	"nil ignored":   {nothing(goka.NilIgnore), nils},
	"nil processed": {nothing(goka.NilProcess), nils},
	"nil decoded":   {nothing(goka.NilDecode), nils},
}

var nils = []sent{{"maybe", "a", "x", nil}, {"maybe", "b", nil, nil}, {"maybe", "c", "", nil}}

// What callbacks compute must not depend on who runs them, nor here on commits,
// crashes and caches.
func TestProgramsAsInGoka(t *testing.T) {
	for name, p := range programs {
		t.Run(name, func(t *testing.T) { sameAsGoka(t, p.group, p.input, streamtest.Modes()) })
	}
}

// seedsVariable asks for more random inputs per program than the few of a short
// run.
const seedsVariable = "TIDEMILL_GOKA_SEEDS"

func TestRandomInputsAsInGoka(t *testing.T) {
	seeds := 3
	if text := os.Getenv(seedsVariable); text != "" {
		var err error
		if seeds, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", seedsVariable, err)
		}
	}
	modes := []streamtest.Mode{{}, {Schedule: streamtest.EveryRestart, Engine: streamtest.Pebble}, {Schedule: streamtest.Random}}
	for name, p := range programs {
		for seed := range seeds {
			t.Run(fmt.Sprintf("%s/seed-%d", name, seed), func(t *testing.T) {
				random := rand.New(rand.NewPCG(uint64(seed), 1))
				input := make([]sent, 30)
				for i := range input {
					input[i] = p.input[random.IntN(len(p.input))]
					if p.input[0].topic != "orders" && random.IntN(4) == 0 {
						input[i].key = string(rune('a' + random.IntN(3)))
					}
				}
				random.Shuffle(len(input), func(i, j int) { input[i], input[j] = input[j], input[i] })
				modes[2].Seed = uint64(seed) + 1
				sameAsGoka(t, p.group, input, modes)
			})
		}
	}
}
