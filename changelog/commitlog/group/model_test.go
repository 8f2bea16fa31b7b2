package group

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

const limit = 5

var epoch = time.Unix(1_000_000, 0)

func at(tick int) time.Time { return epoch.Add(time.Duration(tick) * time.Second) }

// world drives a machine and the naive model with the same events.
type world struct {
	rng     *rand.Rand
	machine *Machine
	model   *naive
	now     int
	tickets Ticket
	open    map[Ticket]bool
	ids     []string // all ever seen, some gone
	planner map[int32]string
	last    int32
	seen    map[string]int // answers by state, number of members, and kind
	history []string
}

func newWorld(seed uint64, twist string) *world {
	ids := 0
	return &world{rng: rand.New(rand.NewPCG(seed, 1)), open: map[Ticket]bool{}, planner: map[int32]string{}, seen: map[string]int{},
		machine: NewMachine(Limits{Members: limit, Bytes: 100}, func(string) string {
			ids++
			return fmt.Sprintf("m%04d", ids)
		}),
		model: &naive{twist: twist, limit: limit, out: map[Ticket]string{}},
	}
}

func (w *world) log(format string, args ...any) {
	w.history = append(w.history, fmt.Sprintf("%3d ", w.now)+fmt.Sprintf(format, args...))
}

// take checks the answers of one event against the model's.
func (w *world) take(answers []Answer) error {
	for _, a := range answers {
		if !w.open[a.Ticket] {
			return fmt.Errorf("ticket %d is answered without a question or twice", a.Ticket)
		}
		delete(w.open, a.Ticket)
		want := w.model.out[a.Ticket]
		delete(w.model.out, a.Ticket)
		if got := w.text(a, want); got != want {
			return fmt.Errorf("ticket %d is answered %q, want %q", a.Ticket, got, want)
		}
		kind, _, _ := strings.Cut(want, " ")
		w.seen[fmt.Sprint(w.machine.State(), " ", len(w.model.souls), " ", kind)]++
		if a.Code != OK {
			continue
		}
		w.ids = append(w.ids, a.Member)
		if a.Members != nil && !a.SkipAssignment {
			if p := w.planner[a.Generation]; p != "" && p != a.Member {
				return fmt.Errorf("generation %d has leaders %s and %s", a.Generation, p, a.Member)
			}
			w.planner[a.Generation] = a.Member
		}
	}
	for ticket, want := range w.model.out {
		return fmt.Errorf("ticket %d waits, want %q", ticket, want)
	}
	if w.machine.Generation() < w.last {
		return fmt.Errorf("generation %d after %d", w.machine.Generation(), w.last)
	}
	w.last = w.machine.Generation()
	if w.machine.State() != w.model.phase || w.last != w.model.gen || w.machine.Leader() != w.model.leader {
		return fmt.Errorf("the group is %v in generation %d led by %s, want %v in %d led by %s",
			w.machine.State(), w.last, w.machine.Leader(), w.model.phase, w.model.gen, w.model.leader)
	}
	return nil
}

// text writes an answer as the model does; what kind of request it was is seen
// from the model's.
func (w *world) text(a Answer, want string) string {
	if a.Code != OK {
		return a.Code.String()
	}
	if len(want) > 0 && want[0] == 's' {
		return fmt.Sprintf("synced %s %d %q", a.Member, a.Generation, a.Assignment)
	}
	list := ""
	if a.Members != nil {
		for _, m := range a.Members {
			list += fmt.Sprintf(" %s/%s/%s", m.ID, m.Instance, m.Metadata)
		}
		list += fmt.Sprint(" stands:", a.SkipAssignment)
	}
	return fmt.Sprintf("joined %s %d leader %s%s", a.Member, a.Generation, a.Leader, list)
}

func (w *world) ticket() Ticket {
	w.tickets++
	w.open[w.tickets] = true
	return w.tickets
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

// someone is a member, mostly one that still is, with its instance or without.
func (w *world) someone() (id, instance string) {
	if n := len(w.model.souls); n > 0 && w.rng.IntN(8) > 0 {
		s := w.model.souls[w.rng.IntN(n)]
		if w.rng.IntN(10) == 0 {
			return s.id, pick(w.rng, "", "x", "y")
		}
		return s.id, s.instance
	}
	if len(w.ids) == 0 {
		return "made-up", ""
	}
	return pick(w.rng, w.ids...), pick(w.rng, "", "x", "y")
}

func (w *world) generation() int32 {
	if w.rng.IntN(10) == 0 {
		return w.last + int32(w.rng.IntN(3)) - 1
	}
	return w.last
}

func (w *world) step() error {
	switch n := w.rng.IntN(100); {
	case n < 14:
		return w.join("", pick(w.rng, "", "", "x", "y"))
	case n < 44:
		return w.join(w.someone())
	case n < 72:
		return w.sync(w.someone())
	case n < 78:
		id, instance := w.someone()
		g := w.generation()
		w.log("heartbeat %s/%s of %d", id, instance, g)
		got, want := w.machine.Heartbeat(at(w.now), id, instance, g), w.model.beats(id, instance, g)
		if got != want {
			return fmt.Errorf("heartbeat is answered %v, want %v", got, want)
		}
		return w.take(nil)
	case n < 82:
		id, instance := w.someone()
		if instance != "" && w.rng.IntN(2) == 0 {
			id = ""
		}
		w.log("leave %s/%s", id, instance)
		got, answers := w.machine.Leave(at(w.now), id, instance)
		if want := w.model.leaves(id, instance); got != want {
			return fmt.Errorf("leave is answered %v, want %v", got, want)
		}
		return w.take(answers)
	case n < 85:
		for ticket := range min(w.tickets, 3) {
			if t := w.tickets - ticket; w.open[t] {
				w.log("abandon ticket %d", t)
				w.model.abandons(t)
				delete(w.open, t)
				return w.take(w.machine.Abandon(at(w.now), t))
			}
		}
		return nil
	}
	w.now += w.rng.IntN(4)
	return w.tick()
}

func (w *world) tick() error {
	w.log("tick")
	w.model.passes(w.now)
	return w.take(w.machine.Tick(at(w.now)))
}

func (w *world) join(id, instance string) error {
	t, says, session, slow := w.ticket(), pick(w.rng, "p", "p", "q"), pick(w.rng, 5, 9), pick(w.rng, 7, 12)
	w.log("join %s/%s says %s, session %d, rebalance %d: ticket %d", id, instance, says, session, slow, t)
	w.model.joins(t, id, instance, says, session, slow)
	return w.take(w.machine.Join(at(w.now), JoinRequest{Ticket: t, Member: id, Instance: instance, Metadata: []byte(says),
		Session: time.Duration(session) * time.Second, Rebalance: time.Duration(slow) * time.Second}))
}

func (w *world) sync(id, instance string) error {
	t, g, work := w.ticket(), w.generation(), map[string][]byte{}
	if id == w.model.leader {
		for _, s := range w.model.souls {
			if w.rng.IntN(4) > 0 {
				work[s.id] = fmt.Appendf(nil, "work %d of %s", g, s.id)
			}
		}
	}
	w.log("sync %s/%s of %d: ticket %d", id, instance, g, t)
	w.model.syncs(t, id, instance, g, work)
	return w.take(w.machine.Sync(at(w.now), SyncRequest{Ticket: t, Member: id, Instance: instance, Generation: g, Assignments: work}))
}

// run makes random events, then none: by its own timers the group must answer
// whoever waits, and be empty in the end.
func (w *world) run(steps int) error {
	for range steps {
		if err := w.step(); err != nil {
			return err
		}
		if err := w.timer(); err != nil {
			return err
		}
	}
	for range 20 * limit {
		next, ok := w.machine.Next()
		if !ok {
			break
		}
		w.now = max(w.now, int(next.Sub(epoch)/time.Second))
		if err := w.tick(); err != nil {
			return err
		}
	}
	if len(w.open) > 0 || w.machine.State() != Empty {
		return fmt.Errorf("in the end the group is %v and tickets %v wait", w.machine.State(), w.open)
	}
	return nil
}

// timer demands that the machine asks to be woken whenever somebody waits.
func (w *world) timer() error {
	if _, ok := w.machine.Next(); !ok && (len(w.open) > 0 || w.machine.State() != Empty) {
		return fmt.Errorf("the group is %v, tickets %v wait, and no timer is set", w.machine.State(), w.open)
	}
	return nil
}

func seeds() uint64 {
	if os.Getenv("TIDEMILL_LONG") == "1" {
		return 200_000
	}
	return 4_000
}

// TestModel compares the machine with the naive model; TIDEMILL_LONG=1 takes
// fifty times as many seeds.
func TestModel(t *testing.T) {
	seen := map[string]int{}
	for seed := range seeds() {
		w := newWorld(seed, "")
		if err := w.run(60); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(w.history, "\n"))
		}
		for what, n := range w.seen {
			seen[what] += n
		}
	}
	t.Logf("answers by state and members: %v", seen)
	for _, rare := range []string{"Stable 4 synced", "CompletingRebalance 4 joined", "Stable 3 joined",
		"CompletingRebalance 3 REBALANCE_IN_PROGRESS", "Stable 3 FENCED_INSTANCE_ID"} {
		if seen[rare] == 0 {
			t.Errorf("the events never led to %q", rare)
		}
	}
}

// A model with one rule broken must be found to differ, or the comparison is
// worth nothing.
func TestModelControls(t *testing.T) {
	for _, twist := range []string{"no fence", "leader joins quietly", "static restart rebalances", "no sessions"} {
		found := false
		for seed := uint64(0); seed < 500 && !found; seed++ {
			found = newWorld(seed, twist).run(60) != nil
		}
		if !found {
			t.Errorf("twist %q was not noticed", twist)
		}
	}
}
