package streamtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
)

// Mode is one way to run a test body. The zero Mode is straight and in memory.
type Mode struct {
	Schedule Schedule
	Engine   Engine
	// CacheBytes bounds the clean part of each store's cache; 0 means 1 MiB.
	CacheBytes int
	// Seed of the Random schedule. 0 takes TIDEMILL_SEED from the environment, and
	// without it a new seed in each run.
	Seed uint64
}

// Schedule says when commits and crashes happen.
type Schedule uint8

// The schedules are described in the package documentation.
const (
	Straight Schedule = iota
	EveryCommit
	EveryRestart
	Random
)

// String names the schedule as subtests do.
func (s Schedule) String() string {
	return [...]string{"straight", "every-commit", "every-restart", "random"}[s&3]
}

// Engine says where the stores are.
type Engine uint8

const (
	// Memory keeps them in memory: a restart replays their whole changelogs.
	Memory Engine = iota
	// Pebble keeps them in Pebble, on a disk in memory: a restart replays what the
	// store had not made durable.
	Pebble
)

// String names the engine as subtests do.
func (e Engine) String() string {
	if e == Pebble {
		return "pebble"
	}
	return "memory"
}

// tinyCache holds no row beyond the commit.
const tinyCache = 1

const defaultCacheBytes = 1 << 20

// Modes returns the modes that Run goes through.
func Modes() []Mode {
	var modes []Mode
	for _, schedule := range []Schedule{Straight, EveryCommit, EveryRestart, Random} {
		for _, engine := range []Engine{Memory, Pebble} {
			modes = append(modes, Mode{Schedule: schedule, Engine: engine})
			// A cache is cut at a commit: it cannot be told from a large one where
			// there is no commit, or where the restart empties it anyway.
			if schedule == EveryCommit || schedule == Random {
				modes = append(modes, Mode{Schedule: schedule, Engine: engine, CacheBytes: tinyCache})
			}
		}
	}
	return modes
}

// String names the mode as subtests do.
func (m Mode) String() string {
	s := m.Schedule.String() + "/" + m.Engine.String()
	if m.CacheBytes == tinyCache {
		return s + "/tiny-cache"
	}
	if m.CacheBytes != 0 {
		s += fmt.Sprintf("/cache-%d", m.CacheBytes)
	}
	return s
}

func (m Mode) cacheBytes() int {
	if m.CacheBytes == 0 {
		return defaultCacheBytes
	}
	return m.CacheBytes
}

// withDefaults checks the mode and fills in the seed.
func (m Mode) withDefaults() (Mode, error) {
	if m.Schedule > Random || m.Engine > Pebble {
		return m, fmt.Errorf("mode has schedule %d and engine %d; use the constants of this package", m.Schedule, m.Engine)
	}
	if m.Seed != 0 || m.Schedule != Random {
		return m, nil
	}
	if text := os.Getenv(seedVariable); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil || seed == 0 {
			return m, fmt.Errorf("%s=%q is not a positive whole number; take the one that the failing test has logged", seedVariable, text)
		}
		m.Seed = seed
		return m, nil
	}
	m.Seed = rand.Uint64()>>1 | 1
	return m, nil
}

const seedVariable = "TIDEMILL_SEED"
