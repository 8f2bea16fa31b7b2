package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

const (
	session   = 10 * time.Second
	rebalance = 30 * time.Second
)

var config = commitlog.GroupConfig{Group: "g", SessionTimeout: session, RebalanceTimeout: rebalance}

func open(t *testing.T, c *Coordinator, instance string) *Member {
	t.Helper()
	cfg := config
	cfg.Instance = instance
	m, err := c.OpenMember(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func nothing([]commitlog.MemberInfo) (map[string][]byte, error) { return nil, nil }

func join(t *testing.T, m *Member, says string) commitlog.Generation {
	t.Helper()
	g, err := m.Join(t.Context(), []byte(says), nothing)
	if err != nil {
		t.Error(err)
	}
	return g
}

// together lets members join at the same time.
func together(t *testing.T, members ...*Member) {
	t.Helper()
	var wg sync.WaitGroup
	for _, m := range members {
		wg.Go(func() {
			if _, err := m.Join(t.Context(), []byte("x"), nothing); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
	}
	for len(members) > 1 && members[0].generation != members[1].generation {
		wg.Go(func() { join(t, members[0], "x") }) // alone in its generation until now
		synctest.Wait()
	}
	wg.Wait()
}

func told(m *Member) bool {
	select {
	case <-m.Changed():
		return true
	default:
		return false
	}
}

func TestSilenceIsCountedFromClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		a, b := open(t, c, ""), open(t, c, "")
		together(t, a, b)
		time.Sleep(100 * session) // nobody is removed while it is open
		if told(a) || told(b) {
			t.Fatal("an idle group changed")
		}
		began := time.Now()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		<-a.Changed()
		if took := time.Since(began); took != session {
			t.Errorf("the silent member was removed after %v, want %v", took, session)
		}
		if g := join(t, a, "x"); !g.Leader {
			t.Error("the last member does not lead")
		}
	})
}

func TestLaggardIsRemovedAfterTheRebalanceTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		a, b := open(t, c, ""), open(t, c, "")
		together(t, a, b)
		old := commitlog.Membership{Member: b.id, Generation: b.generation}
		began := time.Now()
		go func() {
			<-b.Changed() // and does not join
		}()
		join(t, a, "changed")
		if took := time.Since(began); took != rebalance {
			t.Errorf("the other joined after %v, want %v", took, rebalance)
		}
		if err := c.Check("g", old); !errors.Is(err, commitlog.ErrNotMember) {
			t.Errorf("check of the laggard: %v", err)
		}
		if _, err := b.Join(t.Context(), nil, nothing); !errors.Is(err, commitlog.ErrNotMember) {
			t.Errorf("join of the laggard: %v, want ErrNotMember", err)
		}
		anew := make(chan commitlog.Generation)
		go func() { anew <- join(t, b, "anew") }()
		<-a.Changed()
		if g, other := join(t, a, "x"), <-anew; g.Generation != other.Generation {
			t.Errorf("generations %d and %d after entering anew", g.Generation, other.Generation)
		}
	})
}

func TestLeaderThatNeverSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		a, b := open(t, c, "static"), open(t, c, "")
		together(t, a, b)
		go func() {
			<-b.Changed()
			join(t, b, "x")
		}()
		failure := errors.New("no plan")
		began := time.Now()
		_, err := a.Join(t.Context(), nil, func([]commitlog.MemberInfo) (map[string][]byte, error) { return nil, failure })
		if !errors.Is(err, failure) {
			t.Fatalf("join: %v", err)
		}
		<-a.Changed()
		if took := time.Since(began); took != rebalance {
			t.Errorf("the leader was given up after %v, want %v", took, rebalance)
		}
		synctest.Wait()
		if _, err := a.Join(t.Context(), nil, nothing); !errors.Is(err, commitlog.ErrNotMember) {
			t.Errorf("join: %v, want ErrNotMember", err)
		}
		if told(b) {
			t.Error("the new leader is told to join although it just did")
		}
	})
}

func TestGivingUpAJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		a, b := open(t, c, ""), open(t, c, "")
		before := join(t, a, "x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Join(ctx, nil, nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("join: %v", err)
		}
		if !told(a) {
			t.Fatal("the group was not told of the rebalance")
		}
		began := time.Now()
		if g := join(t, a, "x"); g.Generation <= before.Generation || time.Since(began) > 0 {
			t.Errorf("generation %d after %d, %v later: the group waited for one that is gone", g.Generation, before.Generation, time.Since(began))
		}
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Limits: Limits{Members: 1, Bytes: 3}})
		a, b := open(t, c, ""), open(t, c, "")
		if _, err := a.Join(t.Context(), []byte("long"), nothing); !errors.Is(err, commitlog.ErrTooLarge) {
			t.Errorf("join with long metadata: %v", err)
		}
		if _, err := a.Join(t.Context(), nil, nil); err == nil {
			t.Error("a leader without a plan function led")
		}
		if _, err := a.Join(t.Context(), nil, func(m []commitlog.MemberInfo) (map[string][]byte, error) {
			return map[string][]byte{m[0].ID: []byte("long")}, nil
		}); !errors.Is(err, commitlog.ErrTooLarge) {
			t.Errorf("join with a long assignment: %v", err)
		}
		if _, err := a.Join(t.Context(), nil, func([]commitlog.MemberInfo) (map[string][]byte, error) {
			return map[string][]byte{"nobody": nil}, nil
		}); err == nil {
			t.Error("a plan for nobody was taken")
		}
		join(t, a, "x")
		if _, err := b.Join(t.Context(), nil, nothing); err == nil {
			t.Error("a full group took another member")
		}
		for _, cfg := range []commitlog.GroupConfig{{}, {Group: "g", SessionTimeout: -1}, {Group: "g", RebalanceTimeout: -1}} {
			if _, err := c.OpenMember(cfg); err == nil {
				t.Errorf("config %+v was taken", cfg)
			}
		}
	})
}

func TestCloseEndsMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		a, b := open(t, c, ""), open(t, c, "")
		g := join(t, a, "x")
		waits := make(chan error)
		go func() {
			_, err := b.Join(t.Context(), nil, nothing)
			waits <- err
		}()
		synctest.Wait()
		told(a)
		c.Close()
		c.Close()
		_, openErr := c.OpenMember(config)
		_, joinErr := a.Join(t.Context(), nil, nothing)
		for what, err := range map[string]error{"waiting join": <-waits, "join": joinErr, "leave": a.Leave(t.Context()),
			"check": c.Check("g", g.Membership), "open": openErr} {
			if !errors.Is(err, commitlog.ErrClosed) {
				t.Errorf("%s after Close: %v, want ErrClosed", what, err)
			}
		}
		if !told(a) || !told(b) {
			t.Error("members are not told that the coordinator is gone")
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
}

// crowd is what the random test knows of all members.
type crowd struct {
	mu sync.Mutex
	// leaders and standing are by generation.
	leaders  map[int32]string
	joins    int
	failures []string
}

func (c *crowd) saw(g commitlog.Generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joins++
	if !g.Leader {
		return
	}
	// A static leader that came back leads the same generation under a new id.
	name := g.Instance
	if name == "" {
		name = g.Member
	}
	if other := c.leaders[g.Generation]; other != "" && other != name {
		c.failures = append(c.failures, fmt.Sprintf("generation %d is led by %s and %s", g.Generation, other, name))
	}
	c.leaders[g.Generation] = name
}

// TestCrowd lets members join, fall silent, come back, leave and fail to plan at
// random. Then they only follow their group, and must stand in one generation.
func TestCrowd(t *testing.T) {
	seeds := uint64(60)
	if os.Getenv("TIDEMILL_LONG") == "1" {
		seeds = 3000
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			c, seen := New(Config{}), &crowd{leaders: map[int32]string{}}
			var wg sync.WaitGroup
			final := make([]commitlog.Generation, 5)
			calm := time.Now().Add(20 * time.Minute)
			for i := range final {
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				wg.Go(func() { final[i] = live(t, c, seen, rng, i, calm) })
			}
			wg.Wait()
			for _, f := range seen.failures {
				t.Errorf("seed %d: %s", seed, f)
			}
			for i, g := range final {
				if g.Generation != final[0].Generation || g.Generation == 0 {
					t.Fatalf("seed %d: member %d ended in generation %d, the first in %d", seed, i, g.Generation, final[0].Generation)
				}
				if err := c.Check("g", g.Membership); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
			if seen.joins < 100 {
				t.Errorf("seed %d: only %d joins in all", seed, seen.joins)
			}
			c.Close()
		})
	}
}

// live is the life of one member; from calm on it only does what it is told, for
// twice as long as a group may need to find together.
func live(t *testing.T, c *Coordinator, seen *crowd, rng *rand.Rand, i int, calm time.Time) (last commitlog.Generation) {
	instance := ""
	if i%2 == 0 {
		instance = fmt.Sprint("instance-", i)
	}
	m := open(t, c, instance)
	end := calm.Add(10 * rebalance)
	for {
		quiet := !time.Now().Before(calm)
		ctx, cancel := context.WithDeadline(t.Context(), end)
		if !quiet && rng.IntN(5) == 0 {
			ctx, cancel = context.WithTimeout(t.Context(), time.Duration(rng.IntN(40))*time.Second)
		}
		plan := nothing
		if !quiet && rng.IntN(5) == 0 {
			plan = func([]commitlog.MemberInfo) (map[string][]byte, error) {
				time.Sleep(time.Duration(rng.IntN(40)) * time.Second)
				return nil, errors.New("no plan")
			}
		}
		says := rng.IntN(2)
		if quiet {
			says = i
		}
		g, err := m.Join(ctx, []byte{byte(says)}, plan)
		cancel()
		switch {
		case err == nil:
			seen.saw(g)
			last = g
		case errors.Is(err, commitlog.ErrFenced), errors.Is(err, commitlog.ErrClosed):
			t.Errorf("join: %v", err)
			return last
		default:
			last = commitlog.Generation{}
		}
		if err != nil && !time.Now().Before(calm) && time.Now().Before(end) {
			continue // a failure from before; the group has to be entered
		}
		wait := end
		if !quiet {
			wait = time.Now().Add(time.Duration(rng.IntN(60)) * time.Second)
		}
		select {
		case <-m.Changed():
			continue
		case <-time.After(time.Until(wait)):
		}
		if quiet {
			return last
		}
		switch rng.IntN(4) {
		case 0:
			if err := m.Leave(t.Context()); err != nil {
				t.Errorf("leave: %v", err)
			}
		case 1:
			if err := m.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			time.Sleep(time.Duration(rng.IntN(20)) * time.Second)
			m = open(t, c, instance)
		}
	}
}
