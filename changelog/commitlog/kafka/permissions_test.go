package kafka

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// permissions: an error for want of a permission names operation and resource.
// Proof: a user who begins with nothing and is granted what the errors ask for,
// and nothing else, gets through.
func (b *guarded) permissions(t *testing.T) {
	const topic, group, id = "guarded", "guarded-group", "guarded-writer"
	if err := b.admin.CreateTopic(t.Context(), commitlog.TopicConfig{Name: topic, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	transact(t, b.admin, "admin", at(topic, 0), "a", "b")
	cfg := b.as("SCRAM-SHA-512", bob, bobPassword)
	cfg.GiveUp = 20 * time.Second
	l := openLog(t, cfg)
	for _, c := range []struct {
		name  string
		do    func(context.Context) error
		wants []string // what must have been asked for, in the order of the errors
	}{
		{"describe a topic", func(ctx context.Context) error { _, err := l.Topic(ctx, topic); return err },
			[]string{"DESCRIBE on topic guarded"}},
		{"bounds", func(ctx context.Context) error { _, err := l.Bounds(ctx, at(topic, 0)); return err },
			[]string{"DESCRIBE on topic guarded"}},
		{"read", func(ctx context.Context) error { return readOne(ctx, l, at(topic, 0)) }, []string{"READ on topic guarded"}},
		{"point read", func(ctx context.Context) error {
			_, err := l.ReadAt(ctx, []commitlog.RecordID{{TopicPartition: at(topic, 0), Offset: 1}})
			return err
		}, []string{"READ on topic guarded"}},
		{"latest", func(ctx context.Context) error { _, _, err := l.Latest(ctx, at(topic, 0), []byte("k")); return err },
			[]string{"READ on topic guarded"}},
		{"open a writer", func(ctx context.Context) error { return openAndClose(ctx, l, id) }, []string{"WRITE on transactional id " + id}},
		{"append", func(ctx context.Context) error { return writeOne(ctx, l, id, topic, "") },
			[]string{"WRITE on transactional id " + id, "WRITE on topic guarded"}},
		{"offsets in a transaction", func(ctx context.Context) error { return writeOne(ctx, l, id, topic, group) },
			[]string{"READ on group " + group, "READ on topic guarded"}},
		{"group offsets", func(ctx context.Context) error { _, err := l.GroupOffsets(ctx, group); return err },
			[]string{"DESCRIBE on group " + group}},
		{"join", func(ctx context.Context) error { return joinOnce(ctx, l, group) }, []string{"READ on group " + group}},
		{"trim", func(ctx context.Context) error { return l.Trim(ctx, at(topic, 0), 1) }, []string{"DELETE on topic guarded"}},
		{"create a topic", func(ctx context.Context) error {
			return l.CreateTopic(ctx, commitlog.TopicConfig{Name: "made", Partitions: 1})
		}, []string{"CREATE on topic made"}},
		{"delete a topic", func(ctx context.Context) error { return l.DeleteTopic(ctx, "made") }, []string{"DELETE on topic made"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.revoke(t, "User:"+bob)
			asked := b.follow(t, c.do)
			for _, want := range c.wants {
				if !slices.Contains(asked, want) {
					t.Errorf("asked for %q, want %q among it", asked, want)
				}
			}
		})
	}
}

// advice is what the errors of this package say at their end. One that names two
// permissions has them joined by "and on"; "or on the cluster" is a choice.
var advice = regexp.MustCompile(`grant ([A-Z_]+) on (topic|group|transactional id) (\S+?)(?: and on (topic|group|transactional id) (\S+?))?(?: or on the cluster)?[;:,)]*(?:\s|$)`)

// follow does something as bob, grants what the error asks for, and does it again,
// until it works.
func (b *guarded) follow(t *testing.T, do func(context.Context) error) (asked []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return asked
		}
		m := advice.FindStringSubmatch(err.Error())
		if !errors.Is(err, commitlog.ErrDenied) || m == nil {
			t.Fatalf("asked for %q so far, then an error without advice: %v", asked, err)
		}
		granted := false
		for i := 2; i < len(m) && m[i] != ""; i += 2 {
			what := fmt.Sprintf("%s on %s %s", m[1], m[i], m[i+1])
			if !slices.Contains(asked, what) {
				asked, granted = append(asked, what), true
				b.allow(t, "User:"+bob, kmsg.ACLResourcePatternTypeLiteral, m[1], m[i], m[i+1])
			}
		}
		if !granted {
			t.Fatalf("%q is granted, and asked for again: %v", asked, err)
		}
		t.Logf("%v", err)
	}
}

func readOne(ctx context.Context, l *Log, tp commitlog.TopicPartition) error {
	r, err := l.NewReader(commitlog.ReaderOptions{})
	if err != nil {
		return err
	}
	if err := r.Assign(tp, 0); err != nil {
		return errors.Join(err, r.Close())
	}
	for {
		fetched, err := r.Poll(ctx)
		if err != nil || len(fetched) > 0 && len(fetched[0].Batches) > 0 {
			return errors.Join(err, r.Close())
		}
	}
}

func openAndClose(ctx context.Context, l *Log, id string) error {
	w, err := l.OpenWriter(ctx, id)
	if err != nil {
		return err
	}
	return w.Close()
}

// writeOne commits a record, with an offset of a group if one is named.
func writeOne(ctx context.Context, l *Log, id, topic, group string) error {
	w, err := l.OpenWriter(ctx, id)
	if err != nil {
		return err
	}
	err = w.Begin()
	if err == nil {
		err = w.Append(at(topic, 0), records("c"))
	}
	if err == nil && group != "" {
		err = w.Offsets(group, commitlog.Membership{}, map[commitlog.TopicPartition]commitlog.GroupOffset{at(topic, 0): {Offset: 1}})
	}
	if err == nil {
		_, err = w.Commit(ctx)
	}
	if err != nil {
		// What it says to a transaction that was refused is not the matter here.
		_ = w.Abort()
	}
	return errors.Join(err, w.Close())
}

func joinOnce(ctx context.Context, l *Log, group string) error {
	m, err := l.OpenMember(ctx, commitlog.GroupConfig{Group: group, SessionTimeout: 6 * time.Second})
	if err != nil {
		return err
	}
	_, err = m.Join(ctx, nil, func(members []commitlog.MemberInfo) (map[string][]byte, error) { return map[string][]byte{}, nil })
	return errors.Join(err, m.Close())
}

// allowAll grants a user everything, on every name.
func (b *guarded) allowAll(t *testing.T, principal string) {
	t.Helper()
	for _, resource := range []string{"topic", "group", "transactional id"} {
		b.allow(t, principal, kmsg.ACLResourcePatternTypeLiteral, "ALL", resource, "*")
	}
}

func (b *guarded) allow(t *testing.T, principal string, pattern kmsg.ACLResourcePatternType, operation, resource, name string) {
	t.Helper()
	c := kmsg.NewCreateACLsRequestCreation()
	c.Principal, c.Host, c.PermissionType, c.ResourcePatternType = principal, "*", kmsg.ACLPermissionTypeAllow, pattern
	c.ResourceName = name
	var err error
	if c.Operation, err = kmsg.ParseACLOperation(operation); err != nil {
		t.Fatal(err)
	}
	if c.ResourceType, err = kmsg.ParseACLResourceType(strings.ReplaceAll(resource, " ", "_")); err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrCreateACLsRequest()
	req.Creations = append(req.Creations, c)
	for _, r := range b.change(t, req).(*kmsg.CreateACLsResponse).Results {
		if err := refused(r.ErrorCode, r.ErrorMessage, "create ACL", ""); err != nil {
			t.Fatal(err)
		}
	}
}

// revoke takes everything from a user.
func (b *guarded) revoke(t *testing.T, principal string) {
	t.Helper()
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	f.Principal, f.Operation, f.PermissionType = &principal, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	req := kmsg.NewPtrDeleteACLsRequest()
	req.Filters = append(req.Filters, f)
	for _, r := range b.change(t, req).(*kmsg.DeleteACLsResponse).Results {
		if err := refused(r.ErrorCode, r.ErrorMessage, "delete ACLs", ""); err != nil {
			t.Fatal(err)
		}
	}
}

// change asks the controller, and waits a moment: the broker applies what the
// controller has decided by reading it.
func (b *guarded) change(t *testing.T, req kmsg.Request) kmsg.Response {
	t.Helper()
	node, err := b.admin.client.Controller(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	response, err := b.admin.client.Call(t.Context(), node, req)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	return response
}
