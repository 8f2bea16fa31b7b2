package wire

import (
	"context"
	"fmt"
	"maps"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Feature returns the level of a feature that the cluster has finalised, such as
// "transaction.version"; 0 if there is none.
func (c *Client) Feature(name string) int16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.features[name]
}

// Version returns the newest version of a request that we and all brokers asked
// so far have.
func (c *Client) Version(req kmsg.Request) (int16, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version, ok := c.mu.versions[req.Key()]
	if !ok {
		return 0, lacks(req, "the cluster")
	}
	return min(version, req.MaxVersion()), nil
}

func lacks(req kmsg.Request, who string) error {
	return fmt.Errorf("%s does not know the request %s; it needs a newer version of Kafka", who, kmsg.NameForKey(req.Key()))
}

func pick(versions map[int16][2]int16, req kmsg.Request, who string) (int16, error) {
	r, ok := versions[req.Key()]
	switch {
	case !ok:
		return 0, lacks(req, who)
	case r[0] > req.MaxVersion():
		// Below the broker's range it would close the connection without a word.
		return 0, fmt.Errorf("%s wants %s in version %d or newer, this client ends at %d", who, kmsg.NameForKey(req.Key()), r[0], req.MaxVersion())
	}
	return min(r[1], req.MaxVersion()), nil
}

// versionsOf returns the version ranges of a node, asked at the first use and
// again after a failure: the broker that comes back may be another version.
func (c *Client) versionsOf(ctx context.Context, to Node) (map[int16][2]int16, error) {
	l, err := c.link(to)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	versions, stale := l.versions, l.stale
	c.mu.Unlock()
	if versions != nil && !stale {
		return versions, nil
	}
	response, err := c.askVersions(ctx, to)
	if err != nil {
		return nil, err
	}
	versions = make(map[int16][2]int16, len(response.ApiKeys))
	for _, k := range response.ApiKeys {
		versions[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.versions, l.stale = versions, false
	c.mu.versions = c.commonVersionsLocked()
	if len(response.FinalizedFeatures) > 0 {
		features := map[string]int16{}
		for _, f := range response.FinalizedFeatures {
			features[f.Name] = f.MaxVersionLevel
		}
		c.mu.features = features
	}
	return versions, nil
}

// askVersions asks at version 3, the first with features. Newer ones are not
// tried: a broker refuses one it does not know, and 3 says all we need.
func (c *Client) askVersions(ctx context.Context, to Node) (*kmsg.ApiVersionsResponse, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "tidemill", "1"
	for _, version := range []int16{3, 0} {
		response, err := c.CallAt(ctx, to, version, req)
		if err != nil {
			return nil, err
		}
		versions := response.(*kmsg.ApiVersionsResponse)
		if Code(versions.ErrorCode) == UnsupportedVersion {
			continue
		}
		if err := CodeError(versions.ErrorCode); err != nil {
			return nil, fmt.Errorf("versions of %s: %w", to, err)
		}
		return versions, nil
	}
	return nil, fmt.Errorf("versions of %s: %w", to, UnsupportedVersion)
}

// commonVersionsLocked intersects what all asked brokers have, so that a cluster
// in the middle of an upgrade is spoken to in its older version.
func (c *Client) commonVersionsLocked() map[int16]int16 {
	var common map[int16]int16
	for _, l := range c.mu.links {
		if l.versions == nil {
			continue
		}
		if common == nil {
			common = map[int16]int16{}
			for key, r := range l.versions {
				common[key] = r[1]
			}
			continue
		}
		maps.DeleteFunc(common, func(key, _ int16) bool { _, ok := l.versions[key]; return !ok })
		for key := range common {
			common[key] = min(common[key], l.versions[key][1])
		}
	}
	return common
}
