package wire

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// CoordinatorKind says what a coordinator coordinates.
type CoordinatorKind int8

// The kinds, as Kafka numbers them.
const (
	GroupCoordinator CoordinatorKind = 0
	TxnCoordinator   CoordinatorKind = 1
)

// String names the resource that the permission is about.
func (k CoordinatorKind) String() string {
	if k == TxnCoordinator {
		return "transactional id"
	}
	return "group"
}

type coordinatorKey struct {
	kind CoordinatorKind
	key  string
}

// findVersion is the last version that asks for one key; the later ones ask for
// several and bring nothing else that is needed here.
const findVersion = 3

// Coordinator returns the broker that coordinates a group or a transactional id,
// cached. The first use of a cluster and a restart of the coordinator take a
// while, which is waited out until ctx ends or the time to give up is over.
func (c *Client) Coordinator(ctx context.Context, kind CoordinatorKind, key string) (Node, error) {
	at := coordinatorKey{kind, key}
	c.mu.Lock()
	node, ok := c.mu.coords[at]
	c.mu.Unlock()
	if ok {
		return node, nil
	}
	backoff := c.Backoff(fmt.Sprintf("find the coordinator of %s %s", kind, key))
	for {
		node, err := c.findCoordinator(ctx, at)
		if err == nil {
			c.mu.Lock()
			c.mu.coords[at] = node
			c.mu.Unlock()
			return node, nil
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return Node{}, err
		}
	}
}

// ForgetCoordinator drops a cached coordinator, after an answer that it is
// another broker or after a failed request to it.
func (c *Client) ForgetCoordinator(kind CoordinatorKind, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.coords, coordinatorKey{kind, key})
}

func (c *Client) findCoordinator(ctx context.Context, at coordinatorKey) (Node, error) {
	candidates, err := c.candidates()
	if err != nil {
		return Node{}, err
	}
	for _, node := range candidates {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey, req.CoordinatorType = at.key, int8(at.kind)
		var version int16
		if version, err = c.versionAt(ctx, node, req); err != nil {
			continue
		}
		var response kmsg.Response
		if response, err = c.CallAt(ctx, node, min(version, findVersion), req); err != nil {
			continue
		}
		r := response.(*kmsg.FindCoordinatorResponse)
		if err := CodeError(r.ErrorCode); err != nil {
			return Node{}, err
		}
		return Node{ID: r.NodeID, Addr: net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))}, nil
	}
	return Node{}, err
}

// versionAt returns the newest version of a request that we and one node have.
func (c *Client) versionAt(ctx context.Context, to Node, req kmsg.Request) (int16, error) {
	versions, err := c.versionsOf(ctx, to)
	if err != nil {
		return 0, err
	}
	return pick(versions, req, to.String())
}
