package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// A directory is formatted once, by Kafka's own tool. Two files say how far that
// has come: the id that the cluster was given, written before, and the version
// that has formatted it, written after. A crash in between is formatted again.
const (
	clusterIDFile = "cluster-id"
	formattedFile = "formatted-by"
)

// format makes the directory ready for its first start, or checks that this
// version of Kafka can use what is there.
func (b *Broker) format(ctx context.Context) error {
	id, err := b.clusterIdentity()
	if err != nil {
		return err
	}
	b.clusterID = id
	switch by, err := os.ReadFile(b.file(formattedFile)); {
	case err == nil:
		return b.checkFormattedBy(string(by))
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	args := []string{"format", "--ignore-formatted", "-t", id, "-c", b.file(brokerFile)}
	for _, name := range slices.Sorted(maps.Keys(b.options.Features)) {
		args = append(args, "--feature", fmt.Sprintf("%s=%d", name, b.options.Features[name]))
	}
	if s := b.options.Security; s != nil {
		args = append(args, s.formatArguments()...)
	}
	cmd := b.Command(ctx, "kafka.tools.StorageTool", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format %s for Kafka %s: %w:\n%s", b.dir, b.options.Version, errors.Join(ctx.Err(), err), lastLines(out, 20))
	}
	return os.WriteFile(b.file(formattedFile), []byte(b.options.Version), 0o644)
}

func (b *Broker) checkFormattedBy(text string) error {
	by, err := parseVersion(strings.TrimSpace(text))
	if err != nil {
		return fmt.Errorf("%s: %w", b.file(formattedFile), err)
	}
	if mine, err := parseVersion(b.options.Version); err != nil || !mine.olderThan(by) {
		return err
	}
	return fmt.Errorf("%s was made by Kafka %s, which an older Kafka %s cannot read: take another directory, or Kafka %s",
		b.dir, text, b.options.Version, text)
}

// clusterIdentity is the id that the directory has, or a new one.
func (b *Broker) clusterIdentity() (string, error) {
	id, err := os.ReadFile(b.file(clusterIDFile))
	if err == nil {
		return string(id), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	fresh := newClusterID()
	return fresh, os.WriteFile(b.file(clusterIDFile), []byte(fresh), 0o644)
}

// newClusterID is 16 random bytes in base64, as Kafka wants them. The first bit is
// zero: an id that began with "-" would be taken for a flag of the tool.
func newClusterID() string {
	var id [16]byte
	rand.Read(id[:]) // it never fails
	id[0] &= 0x7f
	return base64.RawURLEncoding.EncodeToString(id[:])
}
