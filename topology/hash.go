package topology

import "hash/maphash"

// hashSeed differs from process to process; nothing durable depends on it.
var hashSeed = maphash.MakeSeed()

func hashBytes(b []byte) uint64 { return maphash.Bytes(hashSeed, b) }
