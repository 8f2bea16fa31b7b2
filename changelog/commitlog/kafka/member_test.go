package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/changelog/commitlog/kafka/internal/faultproxy"
)

func (b *bench) member(instance string) *Member {
	b.Helper()
	m, err := b.log.OpenMember(b.ctx, commitlog.GroupConfig{Group: b.name + "group", Instance: instance, SessionTimeout: 6 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close() })
	return m.(*Member)
}

func echoPlan(members []commitlog.MemberInfo) (map[string][]byte, error) {
	plan := map[string][]byte{}
	for _, m := range members {
		plan[m.ID] = append([]byte("for "), m.Metadata...)
	}
	return plan, nil
}

// TestMemberFaults: whatever goes wrong once at any request, the member joins.
func TestMemberFaults(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.SyncGroup} {
		for _, action := range []faultproxy.Action{faultproxy.Drop, faultproxy.DropAnswer} {
			for n := int64(1); n <= 2; n++ {
				var seen atomic.Int64
				b := fake(t, func(r kmsg.Request) faultproxy.Verdict {
					if r.Key() == int16(key) && seen.Add(1) == n {
						return faultproxy.Verdict{Action: action}
					}
					return faultproxy.Verdict{}
				})
				for _, instance := range []string{"", "instance"} {
					m := b.member(instance)
					ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
					g, err := m.Join(ctx, []byte("x"), echoPlan)
					if err != nil || string(g.Assignment) != "for x" || !g.Leader {
						t.Errorf("%s number %d, action %d, instance %q: %+v, %v", key.Name(), n, action, instance, g, err)
					}
					if err := m.Leave(ctx); err != nil {
						t.Errorf("leave: %v", err)
					}
					cancel()
				}
			}
		}
	}
}

// TestMemberFollowsCoordinator: codes that time or another coordinator mends.
func TestMemberFollowsCoordinator(t *testing.T) {
	for key, codes := range map[kmsg.Key][]*kerr.Error{
		kmsg.JoinGroup: {kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator},
		kmsg.SyncGroup: {kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.RebalanceInProgress},
		kmsg.Heartbeat: {kerr.CoordinatorLoadInProgress, kerr.NotCoordinator},
	} {
		for _, code := range codes {
			b := fake(t, nil)
			h := b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: code, Count: 2, TopLevel: true})
			m := b.member("")
			g, err := m.Join(b.ctx, []byte("x"), echoPlan)
			if err != nil || string(g.Assignment) != "for x" {
				t.Errorf("%s with %v: %+v, %v", key.Name(), code, g, err)
			}
			if key == kmsg.Heartbeat {
				if err := h.Wait(b.ctx, 2); err != nil {
					t.Errorf("no heartbeats: %v", err)
				}
				select {
				case <-m.Changed():
					t.Errorf("%v was taken for a rebalance", code)
				default:
				}
			}
		}
	}
}

// TestMemberVerdicts: what the group says of a member, and what Join makes of it.
func TestMemberVerdicts(t *testing.T) {
	b := fake(t, nil)
	m := b.member("")
	if _, err := m.Join(b.ctx, []byte("x"), echoPlan); err != nil {
		t.Fatal(err)
	}
	changed := func(code *kerr.Error) {
		t.Helper()
		b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: code, TopLevel: true})
		select {
		case <-m.Changed():
		case <-time.After(5 * time.Second):
			t.Fatalf("%v is not noticed", code)
		}
	}
	changed(kerr.RebalanceInProgress)
	if _, err := m.Join(b.ctx, []byte("x"), echoPlan); err != nil {
		t.Error(err)
	}
	changed(kerr.UnknownMemberID)
	if _, err := m.Join(b.ctx, []byte("x"), echoPlan); !errors.Is(err, commitlog.ErrNotMember) {
		t.Errorf("join of a removed member gave %v", err)
	}
	if g, err := m.Join(b.ctx, []byte("x"), echoPlan); err != nil || g.Member == "" {
		t.Errorf("the next join gave %+v, %v", g, err)
	}
	changed(kerr.FencedInstanceID)
	for range 2 {
		if _, err := m.Join(b.ctx, []byte("x"), echoPlan); !errors.Is(err, commitlog.ErrFenced) {
			t.Errorf("join of a replaced instance gave %v", err)
		}
	}
	for code, want := range map[*kerr.Error]string{
		kerr.InvalidSessionTimeout: "group.min.session.timeout.ms", kerr.InconsistentGroupProtocol: "another group name", kerr.GroupAuthorizationFailed: "READ on group",
	} {
		b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: code, TopLevel: true})
		if _, err := b.member("").Join(b.ctx, nil, echoPlan); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v gave %v, want an error that mentions %q", code, err, want)
		}
	}
}

func TestMemberLeavesNoGoroutine(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	l := openLog(t, quiet(cluster.ListenAddrs()[0]))
	for i, end := range []func(commitlog.Member) error{
		func(m commitlog.Member) error { return m.Leave(t.Context()) }, commitlog.Member.Close,
		func(m commitlog.Member) error { return errors.Join(m.Leave(t.Context()), m.Close(), m.Close()) },
	} {
		m, err := l.OpenMember(t.Context(), commitlog.GroupConfig{Group: fmt.Sprint("g", i)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Join(t.Context(), nil, echoPlan); err != nil {
			t.Fatal(err)
		}
		if err := end(m); err != nil {
			t.Error(err)
		}
		if _, err := m.Join(t.Context(), nil, echoPlan); !errors.Is(err, commitlog.ErrClosed) {
			t.Errorf("join after the end gave %v", err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestSubscriptionRoundTrip(t *testing.T) {
	for _, user := range []string{"", "x", strings.Repeat("\x00long", 10_000)} {
		got, err := unwrapMetadata(wrapMetadata([]byte(user)))
		if err != nil || string(got) != user {
			t.Errorf("metadata of %d bytes came back as %d, %v", len(user), len(got), err)
		}
		got, err = unwrapAssignment(wrapAssignment([]byte(user)))
		if err != nil || string(got) != user {
			t.Errorf("assignment of %d bytes came back as %d, %v", len(user), len(got), err)
		}
	}
	if got, err := unwrapAssignment(nil); err != nil || got != nil {
		t.Errorf("no assignment came back as %q, %v", got, err)
	}
}

func FuzzUnwrap(f *testing.F) {
	f.Add(wrapMetadata([]byte("x")))
	f.Add(wrapAssignment([]byte("x")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = unwrapMetadata(raw)
		_, _ = unwrapAssignment(raw)
	})
}
