package runtime

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/group"
	"github.com/tidemill/tidemill/runtime/assign"
)

// groupSim is a group under the real coordinator, with members that follow the
// rules of type membership but for one thing: they take steps one at a time, in an
// order that the seed decides, and may do nothing for as long as it likes.
type groupSim struct {
	rng     *rand.Rand
	machine *group.Machine
	now     time.Time
	tickets group.Ticket
	ids     int
	members map[string]*simMember // by instance
	answers map[group.Ticket]group.Answer
	tasks   []assign.Task
	plan    func([]commitlog.MemberInfo, []assign.Task) (map[string][]byte, error)
	given   int
}

type simMember struct {
	instance, id   string
	generation     int32
	joinedOnce     bool
	assigned, held map[assign.Task]bool
	wantJoin       bool
	ticket         group.Ticket // what it waits for
	syncing        bool
	forming        int32 // the generation that it syncs
}

func newGroupSim(seed uint64) *groupSim {
	s := &groupSim{rng: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(0, 0), members: map[string]*simMember{},
		answers: map[group.Ticket]group.Answer{}, plan: planGroup}
	s.machine = group.NewMachine(group.Limits{}, func(instance string) string {
		s.ids++
		return fmt.Sprintf("%s#%d", instance, s.ids)
	})
	for p := range int32(7) {
		s.tasks = append(s.tasks, assign.Task{Sub: "s", Partition: p})
	}
	return s
}

func (s *groupSim) begin(instance string) {
	s.members[instance] = &simMember{instance: instance, generation: newcomer, wantJoin: true,
		assigned: map[assign.Task]bool{}, held: map[assign.Task]bool{}}
}

func (s *groupSim) ticket() group.Ticket { s.tickets++; return s.tickets }

func (s *groupSim) take(answers []group.Answer) {
	for _, a := range answers {
		s.answers[a.Ticket] = a
	}
}

func (s *groupSim) join(m *simMember) error {
	metadata, err := json.Marshal(memberMetadata{Version: groupVersion, Instance: m.instance, Generation: m.generation,
		Owned: shortForm(slices.Collect(maps.Keys(m.held)))})
	m.ticket, m.wantJoin, m.syncing = s.ticket(), false, false
	s.take(s.machine.Join(s.now, group.JoinRequest{Ticket: m.ticket, Member: m.id, Instance: m.instance, Metadata: metadata,
		Session: 30 * time.Second, Rebalance: 20 * time.Second}))
	return err
}

// step lets a member do the next thing that it has to do, if any.
func (s *groupSim) step(m *simMember) error {
	if a, ok := s.answers[m.ticket]; ok && m.ticket != 0 {
		return s.answered(m, a)
	}
	if m.ticket == 0 && m.id != "" {
		switch s.machine.Heartbeat(s.now, m.id, m.instance, m.generation) {
		case group.OK:
		case group.UnknownMember, group.FencedInstance:
			s.begin(m.instance) // it drops everything
			return nil
		default:
			m.wantJoin = true
		}
	}
	if m.wantJoin && m.ticket == 0 {
		return s.join(m)
	}
	for task := range m.held {
		if !m.assigned[task] {
			delete(m.held, task)
			left := slices.ContainsFunc(slices.Collect(maps.Keys(m.held)), func(t assign.Task) bool { return !m.assigned[t] })
			m.wantJoin = m.wantJoin || !left
			return nil
		}
	}
	return nil
}

func (s *groupSim) answered(m *simMember, a group.Answer) error {
	delete(s.answers, m.ticket)
	m.ticket = 0
	switch {
	case a.Code == group.UnknownMember || a.Code == group.FencedInstance:
		s.begin(m.instance)
		return nil
	case a.Code != group.OK:
		m.wantJoin = true
		return nil
	case m.syncing:
		m.syncing = false
		return s.joined(m, a)
	}
	m.id, m.forming, m.syncing = a.Member, a.Generation, true
	var plan map[string][]byte
	if a.Leader == a.Member && !a.SkipAssignment {
		var err error
		if plan, err = s.plan(a.Members, s.tasks); err != nil {
			return err
		}
	}
	m.ticket = s.ticket()
	s.take(s.machine.Sync(s.now, group.SyncRequest{Ticket: m.ticket, Member: m.id, Instance: m.instance, Generation: a.Generation, Assignments: plan}))
	return nil
}

// joined checks what matters: a task that is added is held by nobody in the group.
// Who holds it and is out of the group is fenced before the task is read.
func (s *groupSim) joined(m *simMember, sync group.Answer) error {
	first := !m.joinedOnce
	m.joinedOnce, m.generation = true, m.forming
	a, err := decodeAssignment(sync.Assignment)
	if err != nil {
		return err
	}
	wrong, again := a.judge(m.generation, first)
	m.wantJoin = m.wantJoin || again
	if wrong {
		return nil
	}
	m.assigned = map[assign.Task]bool{}
	for _, task := range a.Tasks.tasks() {
		m.assigned[task] = true
		if m.held[task] {
			continue
		}
		s.given++
		m.held[task] = true
		for _, other := range s.members {
			if other != m && other.held[task] && s.machine.Check(other.id, other.instance, other.generation) != group.UnknownMember {
				return fmt.Errorf("task %v is given to %s while %s, who is in the group, has it", task, m.id, other.id)
			}
		}
	}
	return nil
}

// run lets n random things happen, and then everybody do what they have to.
func (s *groupSim) run(n int) error {
	for range n {
		instance := fmt.Sprint(s.rng.IntN(4))
		m := s.members[instance]
		switch what := s.rng.IntN(40); {
		case what == 0: // a crash, and at once a new process
			s.begin(instance)
		case what == 1 && m != nil && m.id != "":
			_, answers := s.machine.Leave(s.now, m.id, instance)
			s.take(answers)
			delete(s.members, instance)
		case what <= 6:
			s.now = s.now.Add(time.Duration(s.rng.IntN(9000)) * time.Millisecond)
			s.take(s.machine.Tick(s.now))
		case m == nil:
			s.begin(instance)
		default:
			if err := s.step(m); err != nil {
				return err
			}
		}
	}
	for range 600 {
		s.now = s.now.Add(200 * time.Millisecond)
		s.take(s.machine.Tick(s.now))
		for _, instance := range slices.Sorted(maps.Keys(s.members)) {
			if err := s.step(s.members[instance]); err != nil {
				return err
			}
		}
	}
	if len(s.members) == 0 {
		return nil
	}
	held := 0
	for _, m := range s.members {
		held += len(m.held)
		if len(m.held) > (len(s.tasks)-1)/len(s.members)+1 {
			return fmt.Errorf("%s has %d tasks of %d among %d", m.id, len(m.held), len(s.tasks), len(s.members))
		}
	}
	if held != len(s.tasks) {
		return fmt.Errorf("in the end %d of %d tasks run", held, len(s.tasks))
	}
	return nil
}

// No task is ever given to a member while another one of the group has it, whatever
// members do or fail to do; and when they all do what they have to, all tasks run,
// evenly spread.
func TestGroupNeverGivesATaskTwice(t *testing.T) {
	given := 0
	for seed := range uint64(800) {
		s := newGroupSim(seed)
		if err := s.run(300); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		given += s.given
	}
	t.Logf("%d tasks given", given)
}

// A leader that takes old claims for certain gives tasks twice.
func TestControlOldClaims(t *testing.T) {
	for seed := range uint64(3000) {
		s := newGroupSim(seed)
		s.plan = func(members []commitlog.MemberInfo, tasks []assign.Task) (map[string][]byte, error) {
			newest := int32(newcomer)
			decoded := make([]memberMetadata, len(members))
			for i, m := range members {
				if err := json.Unmarshal(m.Metadata, &decoded[i]); err != nil {
					return nil, err
				}
				newest = max(newest, decoded[i].Generation)
			}
			for i := range members {
				decoded[i].Generation = max(newest, 0)
				members[i].Metadata, _ = json.Marshal(decoded[i])
			}
			return planGroup(members, tasks)
		}
		if err := s.run(300); err != nil {
			t.Logf("seed %d: %v", seed, err)
			return
		}
	}
	t.Error("nothing was found")
}
