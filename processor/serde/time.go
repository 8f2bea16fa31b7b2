package serde

import (
	"encoding/binary"
	"strconv"
	"time"
)

// Time is 8 bytes: milliseconds since the Unix epoch as a big-endian two's
// complement integer, the format of a Kafka timestamp.
//
// It keeps the instant to the millisecond and nothing else: Append cuts finer
// fractions (towards the past, also before 1970), the location and the monotonic
// reading, and Decode returns UTC. Times before 1970 sort behind the others: use
// [OrderedTime] for a key that is scanned in order.
//
// The JSON form is an RFC 3339 string with milliseconds, for the years 0 to 9999.
// A key as text is either RFC 3339 or an integer of milliseconds.
var Time Serde[time.Time] = timeSerde{}

type timeSerde struct{}

func (timeSerde) Name() string { return "time" }

func (s timeSerde) Append(dst []byte, v time.Time) ([]byte, error) {
	ms, err := unixMilli(s.Name(), v)
	if err != nil {
		return dst, err
	}
	return binary.BigEndian.AppendUint64(dst, uint64(ms)), nil
}

func (s timeSerde) Decode(src []byte) (time.Time, error) {
	if len(src) != 8 {
		return time.Time{}, lengthError(s.Name(), src, 8)
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(src))).UTC(), nil
}

func (s timeSerde) AppendJSON(dst, src []byte) ([]byte, error) {
	v, err := s.Decode(src)
	if err != nil {
		return dst, err
	}
	return appendJSONTime(dst, s.Name(), v)
}

func (s timeSerde) FromJSON(dst, json []byte) ([]byte, error) {
	v, err := parseJSONTime(s.Name(), json)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

func (s timeSerde) FromText(dst []byte, text string) ([]byte, error) {
	v, err := parseTime(s.Name(), text)
	if err != nil {
		return dst, err
	}
	return s.Append(dst, v)
}

// unixMilli refuses the times, 292 million years away, whose milliseconds do not
// fit: UnixMilli wraps around in silence, and then does not lead back.
func unixMilli(name string, v time.Time) (int64, error) {
	ms := v.UnixMilli()
	if time.UnixMilli(ms).Unix() != v.Unix() {
		return 0, errorf(name, "second %d of the Unix epoch does not fit into 64 bits of milliseconds", v.Unix())
	}
	return ms, nil
}

// jsonTime always shows three digits, so that texts of one length sort by time.
const jsonTime = "2006-01-02T15:04:05.000Z07:00"

// appendJSONTime takes a time in UTC, as every Decode here gives it.
func appendJSONTime(dst []byte, name string, v time.Time) ([]byte, error) {
	if y := v.Year(); y < 0 || y > 9999 {
		return dst, errorf(name, "year %d has no RFC 3339 form, which ends at 9999", y)
	}
	dst = append(dst, '"')
	dst = v.AppendFormat(dst, jsonTime)
	return append(dst, '"'), nil
}

func parseJSONTime(name string, json []byte) (time.Time, error) {
	text, err := parseJSON[string](name, json)
	if err != nil {
		return time.Time{}, err
	}
	v, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, errorf(name, "JSON time: %w", err)
	}
	return v, nil
}

// parseTime reads a time of a query string.
func parseTime(name, text string) (time.Time, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	v, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, errorf(name, "key text is neither milliseconds nor RFC 3339: %w", err)
	}
	return v, nil
}
