package bench

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// All times are in milliseconds since 1970.
const (
	minute = int64(60_000)
	hour   = 60 * minute
	grace  = 15 * minute
	round  = 15 * minute
	// epoch is when the first round takes place: 2025-06-01 00:00 UTC.
	epoch = int64(1_748_736_000_000)

	seed = 20250601
)

// reading is one record of the input.
type reading struct {
	key uint32
	at  int64 // event time, ms
	kwh float64
}

// source draws the numbers of a workload. The order of the draws is part of the
// workload: another order makes other records.
type source struct{ *rand.Rand }

func (j Job) source() source {
	return source{rand.New(rand.NewPCG(seed, uint64(j.Keys)<<32|uint64(j.N)))}
}

// kwh is a multiple of 1/1024, so that sums are exact in any order.
func (s source) kwh() float64 { return float64(s.IntN(4096)) / 1024 }

// readings returns the input in topic order, without flush records.
func (j Job) readings() []reading {
	if j.Workload == Hourly {
		return j.meterReadings()
	}
	s := j.source()
	out := make([]reading, j.N)
	for i := range out {
		key := uint32(s.IntN(j.Keys))
		out[i] = reading{key: key, at: epoch + int64(i), kwh: s.kwh()}
	}
	return out
}

const (
	jitter   = 5 * minute // to either side
	minDelay = 20 * minute
	maxDelay = 90 * minute
	// delayed readings come at most this many rounds late.
	lastDelay = int(maxDelay/round) + 1
)

// meterReadings draws round by round. A delayed reading keeps its event time and
// is sent in the round nearest to the end of its delay.
func (j Job) meterReadings() []reading {
	s := j.source()
	sent := make([][]reading, j.N+lastDelay)
	for r := range j.N {
		if sent[r] == nil {
			sent[r] = make([]reading, 0, j.Keys+j.Keys/64)
		}
		for meter := range j.Keys {
			at := epoch + int64(r)*round + s.Int64N(2*jitter) - jitter
			in := r
			if s.IntN(1000) < 5 {
				delay := minDelay + s.Int64N(maxDelay-minDelay)
				in += int((delay + round/2) / round)
			}
			sent[in] = append(sent[in], reading{uint32(meter), at, s.kwh()})
		}
	}
	out := make([]reading, 0, j.Keys*j.N)
	for _, readings := range sent {
		s.Shuffle(len(readings), func(a, b int) { readings[a], readings[b] = readings[b], readings[a] })
		out = append(out, readings...)
	}
	return out
}

// flushTime is late enough for every window of the readings to close.
func (j Job) flushTime() int64 { return epoch + int64(j.N)*round + 2*hour }

const flushPrefix = "~flush-"

func flushKey(partition int) string { return fmt.Sprint(flushPrefix, partition) }

// appendKey appends 'm' and seven digits.
func appendKey(dst []byte, key uint32) []byte {
	var digits [7]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = '0' + byte(key%10)
		key /= 10
	}
	return append(append(dst, 'm'), digits[:]...)
}

// parseKey is the inverse of appendKey.
func parseKey(b []byte) (key uint32, ok bool) {
	if len(b) != 8 || b[0] != 'm' {
		return 0, false
	}
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
		key = 10*key + uint32(c-'0')
	}
	return key, true
}

func appendFloat(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
}

// places returns the partition of every key.
func (j Job) places() []int32 {
	out := make([]int32, j.Keys)
	var key []byte
	for i := range out {
		key = appendKey(key[:0], uint32(i))
		out[i] = commitlog.Murmur2(key, int32(j.Partitions))
	}
	return out
}

// hourOf is the start of the window of an event time.
func hourOf(at int64) int64 { return at - at%hour }

// late reports whether a window has closed at a stream time.
func late(start, streamTime int64) bool { return start+hour+grace <= streamTime }
