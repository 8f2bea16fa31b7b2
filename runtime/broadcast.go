package runtime

import "sync"

// broadcast wakes everybody who waits for a change.
type broadcast struct {
	mu struct {
		sync.Mutex
		c chan struct{}
	}
}

func newBroadcast() *broadcast {
	b := &broadcast{}
	b.mu.c = make(chan struct{})
	return b
}

// wait returns a channel that is closed at the next change.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.c
}

func (b *broadcast) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.mu.c)
	b.mu.c = make(chan struct{})
}
