package bench

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

// result is one record of the result topic.
type result struct {
	partition  int32
	key, value []byte
}

// resultsOf runs the loop of a job and returns what it emits.
func resultsOf(t *testing.T, j Job) (out []result) {
	t.Helper()
	j.CommitRecords = 700
	phase(t, phaseFill, j)
	batches, err := j.load(t.Context(), inputTopic)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = j.runLoop(batches, func(partition int32, raw []byte) error {
		for len(raw) > 0 {
			b, rest, err := recordbatch.Parse(raw)
			if err != nil {
				return err
			}
			raw = rest
			err = eachRecord(b, func(it *recordbatch.Iterator) error {
				out = append(out, result{placeOf(j, it.Key, partition), slices.Clone(it.Key), slices.Clone(it.Value)})
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func checkAll(j Job, results []result) []string {
	c := newChecker(j)
	for _, r := range results {
		c.add(r.partition, r.key, r.value)
	}
	_, problems := c.finish()
	return problems
}

// Whatever is wrong with a result has to be found: each spoils results that the
// checker accepts as they are.
func TestCheckerFindsWrongResults(t *testing.T) {
	for _, c := range []struct{ workload, emit string }{
		{Hourly, EmitUpdate}, {Hourly, EmitCommit}, {Hourly, EmitClose}, {Count, EmitUpdate}, {Count, EmitCommit},
	} {
		j := small(t, c.workload, c.emit)
		good := resultsOf(t, j)
		if problems := checkAll(j, good); len(problems) > 0 {
			t.Fatalf("%s %s: %q", c.workload, c.emit, problems)
		}
		for name, spoil := range spoilers(j, good) {
			if problems := checkAll(j, spoil); len(problems) == 0 {
				t.Errorf("%s %s: %s went unnoticed", c.workload, c.emit, name)
			}
		}
	}
}

func spoilers(j Job, good []result) map[string][]result {
	last := good[len(good)-1]
	changed := func(change func(r *result)) []result {
		out := slices.Clone(good)
		r := result{last.partition, slices.Clone(last.key), slices.Clone(last.value)}
		change(&r)
		out[len(out)-1] = r
		return out
	}
	lastKey := func(r result) bool { return string(r.key) == string(last.key) }
	out := map[string][]result{
		"nothing":             nil,
		"a missing key":       slices.DeleteFunc(slices.Clone(good), lastKey),
		"one bit":             changed(func(r *result) { r.value[7] ^= 1 }),
		"the sign":            changed(func(r *result) { r.value[0] ^= 0x80 }),
		"a short value":       changed(func(r *result) { r.value = r.value[:7] }),
		"a null value":        changed(func(r *result) { r.value = nil }),
		"a null key":          changed(func(r *result) { r.key = nil }),
		"another partition":   changed(func(r *result) { r.partition = (r.partition + 1) % int32(j.Partitions) }),
		"an unknown key":      append(slices.Clone(good), unknown(j)),
		"an old value at end": append(slices.Clone(good), result{last.partition, last.key, binary.BigEndian.AppendUint64(nil, 1)}),
	}
	if j.Emit != EmitCommit {
		out["a second record"] = append(slices.Clone(good), last)
	}
	if j.Workload == Hourly {
		out["a window off the hour"] = changed(func(r *result) { r.key[len(r.key)-1]++ })
		out["an unknown flush key"] = append(slices.Clone(good), flushResult(j, j.Partitions))
		if j.Emit == EmitClose {
			out["an open window"] = append(slices.Clone(good), flushResult(j, 0))
		}
	}
	return out
}

func unknown(j Job) result {
	key := appendKey(nil, uint32(j.Keys))
	r := result{commitlog.Murmur2(key, int32(j.Partitions)), key, appendFloat(nil, 1)}
	if j.Workload == Hourly {
		r.key = binary.BigEndian.AppendUint64(r.key, uint64(epoch))
	}
	return r
}

func flushResult(j Job, n int) result {
	key := []byte(flushKey(n))
	return result{
		commitlog.Murmur2(key, int32(j.Partitions)),
		binary.BigEndian.AppendUint64(key, uint64(hourOf(j.flushTime()))), appendFloat(nil, 0),
	}
}

func TestProblemsAreFew(t *testing.T) {
	j := small(t, Count, EmitCommit)
	problems := checkAll(j, nil)
	if len(problems) != maxProblems+1 || !strings.HasPrefix(problems[maxProblems], "and ") {
		t.Errorf("%q", problems)
	}
}

// The phase itself must find a result that was changed behind the engine's back.
func TestVerifyReadsTheTopic(t *testing.T) {
	j := small(t, Hourly, EmitCommit)
	phase(t, phaseFill, j)
	processed := phase(t, phaseProcess, j)
	if out := phase(t, phaseVerify, j); len(out.Problems) > 0 || out.OutputRecords != processed.OutputRecords {
		t.Fatalf("%q, %d outputs of %d", out.Problems, out.OutputRecords, processed.OutputRecords)
	}
	log, err := j.openLog()
	if err != nil {
		t.Fatal(err)
	}
	w, err := log.OpenWriter(t.Context(), "intruder")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Begin(); err != nil {
		t.Fatal(err)
	}
	key := appendKey(nil, 7)
	var b recordbatch.Builder
	b.Append(epoch, binary.BigEndian.AppendUint64(key, uint64(epoch)), appendFloat(nil, 99), nil)
	if err := w.Append(commitlog.TopicPartition{Topic: outputTopic, Partition: commitlog.Murmur2(key, int32(j.Partitions))}, &b); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if out := phase(t, phaseVerify, j); len(out.Problems) != 1 || !strings.Contains(out.Problems[0], "is 99, want") {
		t.Errorf("problems %q, want the one value", out.Problems)
	}
}
