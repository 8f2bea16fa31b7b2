package interoptest

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

// advice is how errors name a permission that lacks.
var advice = regexp.MustCompile(`grant ([A-Z_]+) on (topic|group|transactional id) ([^ ;:,)\n]+)(?: and on (topic|group|transactional id) ([^ ;:,)\n]+))?`)

var resources = map[string]kafkago.ResourceType{
	"topic": kafkago.ResourceTypeTopic, "group": kafkago.ResourceTypeGroup, "transactional id": kafkago.ResourceTypeTransactionalID,
}

// restricted: an application whose user may do nothing, and is then granted what the
// errors ask for and nothing else, gets to run. So every error for want of a
// permission names operation and resource.
func (b *bench) restricted(t *testing.T) {
	out := &output{}
	words, build := counting("restricted")
	cfg := config(t.TempDir(), b.login("SCRAM-SHA-512", "bob", users["bob"], out))
	cfg.Instance, cfg.CreateTopics = "one", true // its name is part of the writers' identities
	granted := map[string]bool{}
	for {
		err := attempt(t, build, words, cfg)
		if err == nil {
			break
		}
		fmt.Fprintln(out, err)
		if !b.grant(t, err, granted) {
			t.Fatalf("with %d permissions, an error that asks for none: %v", len(granted), err)
		}
	}
	t.Logf("it runs with %d permissions:\n%s", len(granted), strings.Join(slices.Sorted(maps.Keys(granted)), "\n"))
	for _, want := range []string{"READ on topic restricted-words", "WRITE on topic restricted-counts", "READ on group restricted",
		"CREATE on topic restricted-word-count-changelog", "WRITE on transactional id restricted-one-0"} {
		if !granted[want] {
			t.Errorf("it ran without %s: %v", want, granted)
		}
	}
	out.wantNoSecret(t)
}

// grant grants what an error asks for, and reports whether that was anything new.
func (b *bench) grant(t *testing.T, err error, granted map[string]bool) (any bool) {
	t.Helper()
	if !errors.Is(err, commitlog.ErrDenied) {
		return false
	}
	for _, m := range advice.FindAllStringSubmatch(err.Error(), -1) {
		var operation kafkago.ACLOperationType
		must(t, operation.UnmarshalText([]byte(strings.ReplaceAll(m[1], "_", ""))))
		for i := 2; i < len(m) && m[i] != ""; i += 2 {
			what := fmt.Sprintf("%s on %s %s", m[1], m[i], m[i+1])
			if granted[what] {
				continue
			}
			granted[what], any = true, true
			b.allow(t, "bob", operation, resources[m[i]], m[i+1])
		}
	}
	return any
}
