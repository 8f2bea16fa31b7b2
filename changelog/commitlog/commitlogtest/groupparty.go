package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

const (
	kitGroup = "kit-group"
	// patience bounds what must not wait for a session timeout; sessions are
	// longer where they should not matter.
	patience    = 5 * time.Second
	longSession = 10 * time.Second
)

// party is a member of the group with its writer.
type party struct {
	commitlog.Member
	writer commitlog.Writer
	cfg    commitlog.GroupConfig
	says   string // metadata of its next Join
	plan   commitlog.PlanFunc
	stands commitlog.Generation // result of its last Join
}

// groupTopic creates the topic that parties append to and whose offsets they commit.
func (e *env) groupTopic() error {
	return wrap("create topic", e.log.CreateTopic(e.ctx, commitlog.TopicConfig{Name: "a", Partitions: 2}))
}

// party opens a member and a writer of that name on a log.
func (e *env) party(l commitlog.Log, name, instance string) (*party, error) {
	p := &party{says: name, plan: echo,
		cfg: commitlog.GroupConfig{Group: kitGroup, Instance: instance, SessionTimeout: e.longSession(), RebalanceTimeout: 2 * e.longSession()}}
	var err error
	if p.Member, err = l.OpenMember(e.ctx, p.cfg); err != nil {
		return nil, fmt.Errorf("open member %s: %w", name, err)
	}
	p.writer, err = l.OpenWriter(e.ctx, "writer of "+name)
	return p, wrap("open writer", err)
}

// pair opens two parties, on two handles where the log has them, and lets them
// agree.
func (e *env) pair(instanceA, instanceB string) (a, b *party, done func() error, err error) {
	done = func() error { return nil }
	if err := e.groupTopic(); err != nil {
		return nil, nil, done, err
	}
	second := e.log
	if e.harness.Again != nil {
		if second, err = e.harness.Again(e.log); err != nil {
			return nil, nil, done, fmt.Errorf("another handle: %w", err)
		}
		done = second.Close
	}
	if a, err = e.party(e.log, "a", instanceA); err == nil {
		b, err = e.party(second, "b", instanceB)
	}
	if err == nil {
		err = e.agree(a, b)
	}
	return a, b, done, err
}

// session is the shortest session timeout that cases may use.
func (e *env) session() time.Duration {
	if e.harness.MinSession > 0 {
		return e.harness.MinSession
	}
	return 50 * time.Millisecond
}

func (e *env) longSession() time.Duration { return max(longSession, e.session()) }

// echo gives every member what it said.
func echo(members []commitlog.MemberInfo) (map[string][]byte, error) {
	assignments := make(map[string][]byte, len(members))
	for _, m := range members {
		assignments[m.ID] = append([]byte("for "), m.Metadata...)
	}
	return assignments, nil
}

// join joins and remembers the result.
func (p *party) join(ctx context.Context) error {
	g, err := p.Join(ctx, []byte(p.says), p.plan)
	if err == nil {
		p.stands = g
	}
	return err
}

// joining joins in the background.
func (p *party) joining(ctx context.Context) <-chan error {
	result := make(chan error, 1)
	go func() { result <- p.join(ctx) }()
	return result
}

// agree has all parties join, again whenever their group changes, until they
// stand in one generation.
func (e *env) agree(parties ...*party) error {
	type report struct {
		from  int
		again bool
		err   error
	}
	reports, stop := make(chan report), make(chan struct{})
	ctx, cancel := context.WithTimeout(e.ctx, 2*patience+e.session())
	defer cancel()
	ended := make(chan struct{}, len(parties))
	tell := func(r report) bool {
		select {
		case reports <- r:
			return true
		case <-stop:
			return false
		}
	}
	for i, p := range parties {
		go func() {
			defer func() { ended <- struct{}{} }()
			for tell(report{from: i, err: p.join(ctx)}) {
				select {
				case <-p.Changed():
				case <-stop:
					return
				}
				if !tell(report{from: i, again: true}) {
					return
				}
			}
		}()
	}
	var err error
	standing := map[int]bool{}
	for err == nil && !(len(standing) == len(parties) && oneGeneration(parties)) {
		select {
		case r := <-reports:
			err = r.err
			standing[r.from] = true
			if r.again {
				delete(standing, r.from)
			}
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	close(stop)
	cancel()
	for range parties {
		<-ended
	}
	return wrap("agree on a generation", err)
}

func oneGeneration(parties []*party) bool {
	for _, p := range parties {
		if p.stands.Generation != parties[0].stands.Generation {
			return false
		}
	}
	return true
}

// mustChange waits until the party is told to join.
func (e *env) mustChange(p *party, within time.Duration, why string) error {
	select {
	case <-p.Changed():
		return nil
	case <-time.After(within):
		return fmt.Errorf("Changed did not fire within %v although %s", within, why)
	case <-e.ctx.Done():
		return context.Cause(e.ctx)
	}
}

// mustNotChange watches for longer than it takes to notice a rebalance.
func (e *env) mustNotChange(p *party, why string) error {
	select {
	case <-p.Changed():
		return fmt.Errorf("Changed fired although %s", why)
	case <-time.After(max(e.session()/3, 30*time.Millisecond)):
		return nil
	}
}

// forget takes back a signal that belongs to the past.
func (p *party) forget() {
	select {
	case <-p.Changed():
	default:
	}
}

// commit sends one value with an offset of the group, in a transaction of its own.
func (p *party) commit(ctx context.Context, value string, as commitlog.Membership, offset int64) error {
	err := p.send(ctx, value, as, offset)
	if err != nil {
		return errors.Join(err, p.writer.Abort())
	}
	return nil
}

// send leaves a transaction open that fails.
func (p *party) send(ctx context.Context, value string, as commitlog.Membership, offset int64) error {
	if err := p.writer.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := p.writer.Append(tp("a", 0), builder(value)); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return p.finish(ctx, as, offset)
}

// finish gives the offset with a membership and commits.
func (p *party) finish(ctx context.Context, as commitlog.Membership, offset int64) error {
	at := map[commitlog.TopicPartition]commitlog.GroupOffset{tp("a", 1): {Offset: offset}}
	if err := p.writer.Offsets(kitGroup, as, at); err != nil {
		return fmt.Errorf("offsets: %w", err)
	}
	_, err := p.writer.Commit(ctx)
	return wrap("commit", err)
}

// committed demands the values in the topic and the offset of the group.
func (e *env) committed(offset int64, values ...string) error {
	offsets, err := e.log.GroupOffsets(e.ctx, kitGroup)
	if err != nil {
		return fmt.Errorf("group offsets: %w", err)
	}
	if got := offsets[tp("a", 1)]; got.Offset != offset {
		return fmt.Errorf("the group stands at %d, want %d", got.Offset, offset)
	}
	if _, err := e.log.Settled(e.ctx, []commitlog.TopicPartition{tp("a", 0)}); err != nil {
		return fmt.Errorf("settled: %w", err)
	}
	return e.expect(tp("a", 0), values...)
}

// outlawed demands that a commit was refused because of who sent it.
func outlawed(what string, err error) error {
	if !errors.Is(err, commitlog.ErrNotMember) && !errors.Is(err, commitlog.ErrStaleGeneration) {
		return fmt.Errorf("%s: got error %v, want %q or %q", what, err, commitlog.ErrNotMember, commitlog.ErrStaleGeneration)
	}
	return nil
}
