package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka"
	"github.com/tidemill/tidemill/runtime/query"
)

// fleet is a few processes of the example on one real cluster, under a prefix that
// nobody else has.
type fleet struct {
	*killer
	log      *kafka.Log
	addr     string
	prefix   string
	emit     string
	dir      string
	flags    []string // of all processes
	nodes    map[string]*process
	repaired int // hanging transactions
}

// Timeouts of the processes: a Kafka that is configured as usual allows no shorter
// session.
const (
	fleetSession     = 6 * time.Second
	fleetTransaction = 3 * time.Second
	settlePatience   = 2 * time.Minute
)

func newFleet(k *killer, addr, emit string, flags ...string) *fleet {
	k.t.Helper()
	log, err := kafka.Open(k.t.Context(), kafka.Config{Brokers: []string{addr}})
	if err != nil {
		k.t.Fatal(err)
	}
	f := &fleet{killer: k, log: log, addr: addr, prefix: fmt.Sprintf("meters-%x-", k.random.Uint64()), emit: emit,
		dir: k.t.TempDir(), flags: flags, nodes: map[string]*process{}}
	k.t.Cleanup(func() {
		f.end()
		if err := log.Close(); err != nil {
			k.t.Error(err)
		}
	})
	return f
}

// newKiller builds the program; readings are those of the sample.
func newKiller(t *testing.T) (k *killer, seed uint64) {
	t.Helper()
	seed = environment(t, "TIDEMILL_SEED", rand.Uint64()>>1)
	return &killer{t: t, program: buildProgram(t), random: rand.New(rand.NewPCG(seed, 0)), want: compute(t, sample, 4)}, seed
}

// start starts a process, with the directory that it had before, if any.
func (f *fleet) start(name string, more ...string) *process {
	f.t.Helper()
	args := []string{"-kafka", f.addr, "-prefix", f.prefix, "-kafka-create-topics", "-emit", f.emit, "-dir", filepath.Join(f.dir, name),
		"-instance", name, "-listen", "127.0.0.1:0", "-session-timeout", fleetSession.String(), "-kafka-transaction-timeout", fleetTransaction.String()}
	p := f.killer.start(slices.Concat(args, f.flags, more))
	f.nodes[name] = p
	return p
}

// end kills what still runs and removes the topics.
func (f *fleet) end() {
	for _, p := range f.nodes {
		_ = p.cmd.Process.Kill()
		<-p.read
		_ = p.cmd.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	topics, err := f.log.Topics(ctx)
	if err != nil {
		f.t.Error(err)
	}
	for _, topic := range topics {
		if strings.HasPrefix(topic.Name, f.prefix) {
			if err := f.log.DeleteTopic(ctx, topic.Name); err != nil {
				f.t.Error(err)
			}
		}
	}
}

// stop ends all processes as Ctrl-C does.
func (f *fleet) stop() {
	f.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(f.nodes)) {
		f.nodes[name].interrupt()
		delete(f.nodes, name)
	}
}

// caughtUp reports whether the application has committed the end of its input.
func (f *fleet) caughtUp() bool {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	offsets, err := f.log.GroupOffsets(ctx, f.prefix+"meter-average")
	if err != nil {
		f.t.Logf("not caught up: %v", err)
		return false
	}
	for p := range f.want.partitions {
		tp := commitlog.TopicPartition{Topic: f.prefix + "meter-readings", Partition: p}
		ends, err := f.log.Settled(ctx, []commitlog.TopicPartition{tp})
		if err != nil || offsets[tp].Offset < ends[tp].StableEnd {
			return false
		}
	}
	return true
}

// await waits until something holds, which must not take for ever.
func (f *fleet) await(what string, holds func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(settlePatience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			for name, p := range f.nodes {
				f.t.Logf("process %s: %+v", name, f.health(p))
			}
			f.t.Fatalf("after %v still not: %s", settlePatience, what)
		}
		for name, p := range f.nodes {
			select {
			case <-p.read:
				err := p.cmd.Wait()
				f.t.Fatalf("process %s has ended: %v\n%s%s", name, err, &p.output, &p.errors)
			default:
			}
		}
	}
}

// judged compares what is on the cluster with the offline result, and adds it up.
func (f *fleet) judged() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	in, err := committed(ctx, f.addr, f.prefix+"meter-readings")
	if err != nil {
		f.t.Fatal(err)
	}
	v, err := judgeKafka(ctx, f.addr, f.prefix, f.emit, f.want)
	if err != nil {
		f.t.Fatal(err)
	}
	f.killer.acked += int64(len(slices.Concat(in...)))
	f.killer.found.add(v)
	if v != (verdict{}) {
		f.t.Errorf("%s, -emit %s: %v", f.prefix, f.emit, v)
	}
}

// health is what a process says about its tasks; nothing while it does not serve.
func (f *fleet) health(p *process) (h query.Health) {
	select {
	case <-p.serving:
	default:
		return h
	}
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get("http://" + p.address + "/livez")
	if err != nil {
		return h
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&h)
	return h
}

// owners are the processes by the tasks that run there, if these are all tasks,
// each once, and spread evenly.
func (f *fleet) owners() (owners map[string]string, even bool) {
	owners = map[string]string{}
	n, tasks, total := len(f.nodes), int(f.want.partitions), 0
	even = true
	for name, p := range f.nodes {
		h := f.health(p)
		running := 0
		for _, t := range h.Tasks {
			if t.State == "running" {
				owners[t.Task] = name
				running++
			}
		}
		total += running
		even = even && h.Ready && running >= tasks/n && running <= (tasks-1)/n+1
	}
	return owners, even && total == tasks && len(owners) == tasks
}

// settle waits until the tasks are spread evenly.
func (f *fleet) settle() (owners map[string]string) {
	f.t.Helper()
	f.await("tasks are spread evenly", func() (even bool) {
		owners, even = f.owners()
		return even
	})
	return owners
}

// tidemill runs the command line of the project.
func (f *fleet) tidemill(program string, args ...string) string {
	f.t.Helper()
	out, err := exec.Command(program, append(args, "--kafka", f.addr)...).Output()
	if err != nil {
		f.t.Logf("tidemill %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// buildTidemill builds the command line of the project.
func buildTidemill(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "tidemill")
	cmd := exec.Command("go", "build", "-o", program, "./cmd/tidemill")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("build tidemill: %v", err)
	}
	return program
}
