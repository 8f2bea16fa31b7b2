package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidemill/tidemill/changelog/commitlog"
)

const maxMessageBytes = "max.message.bytes"

// askLimit returns the largest batch that a topic takes, and remembers it: it is
// asked again only for a batch above it, since it may have been raised. Without
// the permission to ask, the broker's own refusal has to do.
func (w *Writer) askLimit(ctx context.Context, topic string) (int, error) {
	limit, err := w.log.maxMessageBytes(ctx, topic)
	if errors.Is(err, commitlog.ErrDenied) {
		limit, err = math.MaxInt, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the record size limit: %w", err)
	}
	w.limits[topic] = limit
	return limit, nil
}

func (l *Log) maxMessageBytes(ctx context.Context, topic string) (int, error) {
	backoff := l.client.Backoff("describe the configuration of topic " + topic)
	for {
		limit, err := l.maxMessageBytesOnce(ctx, topic)
		if err == nil {
			return limit, nil
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return 0, err
		}
	}
}

func (l *Log) maxMessageBytesOnce(ctx context.Context, topic string) (int, error) {
	node, err := l.client.Any(ctx)
	if err != nil {
		return 0, err
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{maxMessageBytes}
	req.Resources = append(req.Resources, resource)
	resp, err := l.client.Call(ctx, node, req)
	if err != nil {
		return 0, err
	}
	settings, failed := readConfigs(resp.(*kmsg.DescribeConfigsResponse))
	if err := failed[topic]; err != nil {
		return 0, err
	}
	limit, err := strconv.Atoi(settings[topic][maxMessageBytes])
	if err != nil {
		return 0, fmt.Errorf("%s of topic %s: %w", maxMessageBytes, topic, err)
	}
	return limit, nil
}
