package pebbledb

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Budget limits what all stores of a node use together.
type Budget struct {
	// CacheBytes of uncompressed blocks; default 64 MiB.
	CacheBytes int64
	// MemTableBytes is reserved on top of CacheBytes: Pebble takes memtables out
	// of its block cache, and enough stores would leave nothing of it. Set it to
	// stores x 2 x Options.MemTableBytes. Default: one store's, 32 MiB.
	MemTableBytes int64
	// OpenFiles is how many tables stay open; default 1000.
	OpenFiles int
}

// Shared is the block cache and the file cache of the stores of a node.
type Shared struct {
	blocks    *pebble.Cache
	files     *pebble.FileCache
	openFiles int
	closeOnce sync.Once
}

// NewShared allocates caches of the given size.
func NewShared(b Budget) *Shared {
	if b.CacheBytes <= 0 {
		b.CacheBytes = 64 << 20
	}
	if b.MemTableBytes <= 0 {
		b.MemTableBytes = 2 * DefaultMemTableBytes
	}
	if b.OpenFiles <= 0 {
		b.OpenFiles = 1000
	}
	return &Shared{
		blocks:    pebble.NewCache(b.CacheBytes + b.MemTableBytes),
		files:     pebble.NewFileCache(1, b.OpenFiles),
		openFiles: b.OpenFiles,
	}
}

// Close gives up the caches. A store that is still open, or dead, holds a
// reference of its own, so the order of closing does not matter.
func (s *Shared) Close() {
	s.closeOnce.Do(func() {
		s.files.Unref()
		s.blocks.Unref()
	})
}
