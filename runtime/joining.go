package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog"
	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/runtime/assign"
)

// join asks for the next generation on a goroutine of its own.
func (m *membership) join() {
	if m.dropping {
		m.wantJoin = false
		return
	}
	metadata, err := json.Marshal(memberMetadata{Version: groupVersion, Instance: m.app.cfg.Instance, Generation: m.generation,
		Owned: m.owned(), Writers: m.writerIDs()})
	if err != nil {
		m.end(err)
		return
	}
	m.joining, m.wantJoin = true, false
	m.pending++
	tasks := m.app.tasks
	go func() {
		g, err := m.member.Join(m.joinCtx, metadata, func(members []commitlog.MemberInfo) (map[string][]byte, error) {
			return planGroup(members, tasks)
		})
		m.mail.post(func() {
			m.pending--
			m.joining = false
			m.joined(g, err)
		})
	}()
}

func (m *membership) owned() tasksBySub {
	var tasks []assign.Task
	for _, h := range m.held {
		tasks = append(tasks, h.Task)
	}
	return shortForm(tasks)
}

// joined follows a join.
func (m *membership) joined(g commitlog.Generation, err error) {
	switch {
	case m.joinCtx.Err() != nil:
		return
	case err != nil && m.stopping:
		m.place.lose(err) // the workers' last commits may wait for a generation
		return
	case errors.Is(err, commitlog.ErrFenced):
		m.end(&IdentityError{App: m.app.App(), Instance: m.app.cfg.Instance, Writers: m.writerIDs(), Err: err})
		return
	case err != nil:
		m.end(fmt.Errorf("group %s: %w", m.app.App(), err))
		return
	}
	first := !m.joinedOnce
	if g.Generation != m.generation {
		m.app.metrics.rebalances.Inc()
		m.app.metrics.generation.Set(float64(g.Generation))
	}
	m.joinedOnce, m.generation = true, g.Generation
	m.place.set(g.Membership)
	a, err := decodeAssignment(g.Assignment)
	if err != nil {
		m.end(fmt.Errorf("group %s: %w", m.app.App(), err))
		return
	}
	m.learn(a)
	if m.stopping {
		return
	}
	wrong, again := a.judge(g.Generation, first)
	if again {
		m.joinAgain()
	} else {
		m.again = 0
	}
	if !wrong {
		m.apply(a, !m.wantJoin)
	}
}

// joinAgain joins once more, at first at once. Each time is a new round for all
// members, so it is done less and less often if it does not help.
func (m *membership) joinAgain() {
	m.wantJoin = true
	if m.again++; m.again > 3 {
		m.later = time.After(min(10*time.Millisecond<<min(m.again, 8), 2*time.Second))
	}
}

// learn remembers whose writers are alive.
func (m *membership) learn(a assignment) {
	if len(a.Live) == 0 {
		return
	}
	live := map[string]bool{}
	for _, id := range a.Live {
		live[id] = true
	}
	m.live.Store(&live)
}

// dead says that a registered writer belongs to nobody in the group. Of this
// instance only the writers of this incarnation count: what the group knows of it
// may be of its predecessor, which may have had more workers.
func (m *membership) dead(id string, w changelog.RegisteredWriter) bool {
	if w.Instance == m.app.cfg.Instance {
		_, own := m.epochs[id]
		return !own
	}
	return !(*m.live.Load())[id]
}
