package state

const arenaChunk = 64 << 10

// arena keeps the key bytes of a table. Bytes once written are never moved or
// written again, so a key decoded with an aliasing serde may refer to them for
// as long as it lives.
type arena struct {
	chunks [][]byte
	size   int
}

// ref points to n bytes of an arena. It holds no pointer, so a table of refs is
// not scanned by the garbage collector.
type ref struct {
	chunk, offset, n uint32
}

func (a *arena) put(b []byte) ref {
	last := len(a.chunks) - 1
	if last < 0 || cap(a.chunks[last])-len(a.chunks[last]) < len(b) {
		a.chunks = append(a.chunks, make([]byte, 0, max(a.nextChunk(), len(b))))
		last++
		a.size += cap(a.chunks[last])
	}
	c := a.chunks[last]
	off := len(c)
	a.chunks[last] = append(c, b...)
	return ref{chunk: uint32(last), offset: uint32(off), n: uint32(len(b))}
}

// nextChunk starts small, because most windows of most tasks are small.
func (a *arena) nextChunk() int { return min(arenaChunk, 512<<min(len(a.chunks), 10)) }

func (a *arena) get(r ref) []byte {
	end := r.offset + r.n
	return a.chunks[r.chunk][r.offset:end:end]
}
