package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/examples/meters/metering"
)

// TestKill9 kills the built program with SIGKILL at random moments, starts it
// again, and in the end compares everything it wrote and serves with the offline
// result. It does so in rounds of a few kills, each on an empty directory and with
// the next way of emitting.
//
//	TIDEMILL_KILLS=500   kills altogether; default 5; 500 take about ten minutes (-timeout 1h)
//	TIDEMILL_SEED=...    repeats a run
func TestKill9(t *testing.T) {
	if goruntime.GOOS == "windows" {
		t.Skip("there are no such signals")
	}
	t.Parallel()
	kills := int(environment(t, "TIDEMILL_KILLS", 5))
	seed := environment(t, "TIDEMILL_SEED", rand.Uint64()>>1)
	k := &killer{t: t, program: buildProgram(t), random: rand.New(rand.NewPCG(seed, 0)), want: compute(t, sample, 4)}
	for round := 0; kills > 0 && !t.Failed(); round++ {
		n := min(kills, killsPerRound)
		kills -= n
		k.round([]string{"update", "close", "commit"}[round%3], n)
	}
	t.Logf("kill9 seed=%d acked=%d %v", seed, k.acked, k.found)
	t.Logf("%d kills; %d starts found an import half done", k.kills, k.halfway)
	if k.found != (verdict{}) {
		t.Errorf("seed %d: %v", seed, k.found)
	}
}

// killsPerRound leaves most kills an import to hit.
const killsPerRound = 3

func environment(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "meters")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// killer runs the program, and adds up what it finds.
type killer struct {
	t       *testing.T
	program string
	random  *rand.Rand
	want    *offline
	acked   int64 // readings that were visible before a kill or at the end, over all rounds
	found   verdict
	kills   int
	halfway int
}

// round kills n times, and then lets the program finish.
func (k *killer) round(emit string, n int) {
	dir := k.t.TempDir()
	out := filepath.Join(dir, "hourly.csv")
	args := []string{"-dir", filepath.Join(dir, "data"), "-emit", emit, "-out", out, "-listen", "127.0.0.1:0"}
	acked, resumed := int64(0), int64(0)
	for range n {
		p := k.start(args)
		if k.random.IntN(4) > 0 { // else it may still be starting
			select {
			case <-p.serving:
			case <-p.read:
			}
		}
		deadline := time.After(time.Duration(k.random.IntN(500)) * time.Millisecond)
		k.watch(p, deadline, &acked, &resumed)
		p.kill()
		k.kills++
	}
	p := k.start(args)
	k.watch(p, p.processed, &acked, &resumed)
	k.checkStore(p.address, "hourly-mean", k.want.hourly)
	k.checkStore(p.address, "last-hour-mean", k.want.lastHour)
	k.checkQuery(p.query)
	p.interrupt()

	p = k.start(append(args, "-exit"))
	p.wait()
	v := judge(k.want, emit, readOutput(k.t, out))
	k.found.add(v)
	k.acked += acked
	if v != (verdict{}) {
		k.t.Logf("-emit %s, %d kills: %v", emit, n, v)
	}
	if acked != 52_416 {
		k.t.Errorf("-emit %s: the input topic holds %d readings at the end, want 52416", emit, acked)
	}
}

// watch follows a process until done: what was once visible in the input topic,
// and the line to continue behind, must never go back.
func (k *killer) watch(p *process, done <-chan time.Time, acked, resumed *int64) {
	k.t.Helper()
	select {
	case <-done:
		return
	case <-p.serving:
	case <-p.read:
		p.wait()
		k.t.Fatalf("the program has ended by itself:\n%s", &p.output)
	}
	if p.resumed < *resumed {
		k.t.Errorf("the program continues behind line %d, and an earlier run behind line %d", p.resumed, *resumed)
	}
	*resumed = p.resumed
	if p.resumed > 0 && p.resumed < 52_417 {
		k.halfway++
	}
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true // and look once more
		case <-time.After(20 * time.Millisecond):
		}
		n := k.readable(p.address)
		if n < *acked {
			k.found.lost += int(*acked - n)
			k.t.Errorf("%d readings are in the input topic, %d were before", n, *acked)
		}
		*acked = n
	}
}

// readable is the number of readings that the input topic holds.
func (k *killer) readable(address string) (n int64) {
	for p := range k.want.partitions {
		var answer struct {
			End int64 `json:"end_offset"`
		}
		k.get(fmt.Sprintf("http://%s/v1/topics/meter-readings/records?limit=1&partition=%d", address, p), &answer)
		n += answer.End
	}
	return n
}

func (k *killer) get(url string, answer any) {
	k.t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	if err == nil {
		err = json.Unmarshal(body, answer)
	}
	if err != nil {
		k.t.Fatalf("GET %s: %v", url, err)
	}
}

// checkStore compares a whole store with the offline result, over HTTP.
func (k *killer) checkStore(address, store string, want map[windowID]*history) {
	k.t.Helper()
	seen, wrong, cursor := 0, 0, ""
	for page := 0; page == 0 || cursor != ""; page++ {
		var answer struct {
			Rows []struct {
				Key   string
				Start time.Time
				Value metering.Mean
			}
			Cursor string
		}
		url := fmt.Sprintf("http://%s/v1/stores/%s/windows?limit=1000", address, store)
		if cursor != "" {
			url += "&cursor=" + cursor
		}
		k.get(url, &answer)
		for _, r := range answer.Rows {
			h := want[windowID{r.Key, r.Start.UnixMilli()}]
			if h == nil || r.Value != (metering.Mean{Sum: h.sum, N: h.n}) {
				if wrong++; wrong == 1 {
					k.t.Errorf("%s: %+v, want %+v; further ones are counted", store, r, h)
				}
			}
		}
		seen, cursor = seen+len(answer.Rows), answer.Cursor
	}
	k.found.wrong += wrong
	if seen != len(want) {
		k.found.lost += max(0, len(want)-seen)
		k.found.dup += max(0, seen-len(want))
		k.t.Errorf("%s has %d rows, want %d", store, seen, len(want))
	}
}

// checkQuery asks the query that the program suggests.
func (k *killer) checkQuery(url string) {
	k.t.Helper()
	var answer struct{ Rows []any }
	if k.get(url, &answer); len(answer.Rows) != 6 {
		k.t.Errorf("GET %s returns %d windows, want 6", url, len(answer.Rows))
	}
}

// process is a running program.
type process struct {
	t         *testing.T
	cmd       *exec.Cmd
	serving   chan struct{}  // closed when address and resumed are known
	processed chan time.Time // closed when everything is processed
	read      chan struct{}  // closed when stdout has ended
	address   string
	query     string // that it suggests
	resumed   int64  // the line that it continues behind
	output    strings.Builder
	errors    strings.Builder
}

var (
	curlLine     = regexp.MustCompile(`curl '(.*)'`)
	servingLine  = regexp.MustCompile(`serving http://([^/]+)/`)
	continueLine = regexp.MustCompile(`behind line (\d+)`)
)

func (k *killer) start(args []string) *process {
	k.t.Helper()
	p := &process{t: k.t, cmd: exec.Command(k.program, args...),
		serving: make(chan struct{}), processed: make(chan time.Time), read: make(chan struct{})}
	p.cmd.Stderr = &p.errors
	stdout, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	go p.follow(stdout)
	return p
}

func (p *process) follow(stdout io.Reader) {
	defer close(p.read)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		line := lines.Text()
		fmt.Fprintln(&p.output, line)
		if m := servingLine.FindStringSubmatch(line); m != nil {
			p.address = m[1]
			if m := continueLine.FindStringSubmatch(line); m != nil {
				p.resumed, _ = strconv.ParseInt(m[1], 10, 64)
			}
			close(p.serving)
		}
		if m := curlLine.FindStringSubmatch(line); m != nil {
			p.query = m[1]
		}
		if strings.HasPrefix(line, "Ctrl-C stops") {
			close(p.processed)
		}
	}
}

// kill ends the process with SIGKILL. One that has ended by itself has failed.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Errorf("kill: %v", err)
	}
	<-p.read
	if err := p.cmd.Wait(); p.cmd.ProcessState.Exited() {
		p.t.Fatalf("the program has ended before it was killed: %v\n%s%s", err, &p.output, &p.errors)
	}
}

// interrupt ends the process as Ctrl-C does.
func (p *process) interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Errorf("interrupt: %v", err)
	}
	p.wait()
}

// wait waits for a good end.
func (p *process) wait() {
	p.t.Helper()
	<-p.read
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("the program has failed: %v\n%s%s", err, &p.output, &p.errors)
	}
}
