package changelog

import (
	"strconv"

	"github.com/tidemill/tidemill/changelog/commitlog"
	"github.com/tidemill/tidemill/state"
)

// StoreTopic is the changelog topic of a store that has not chosen another.
func StoreTopic(app, store string) string { return app + "-" + store + "-changelog" }

// TopicOf is the changelog topic of a store.
func TopicOf(app string, s state.Spec) string {
	if s.Changelog != "" {
		return s.Changelog
	}
	return StoreTopic(app, s.Name)
}

// PositionsTopic holds the position record of every task of an application.
func PositionsTopic(app string) string { return app + "-positions" }

// RegistryTopic holds what the processes of an application have to agree on: the
// shape of the topology, and the writers of workers that nobody has fenced.
func RegistryTopic(app string) string { return app + "-registry" }

// TaskID names the task of a sub-topology and a partition.
func TaskID(sub string, partition int32) string {
	return sub + "_" + strconv.FormatInt(int64(partition), 10)
}

// ProducerGroup is the group whose offsets are the source positions of a named
// producer.
func ProducerGroup(app, name string) string { return app + "-producer-" + name }

// WriterID is the fenced identity of one worker of one instance.
func WriterID(app, instance string, worker int) string {
	return app + "-" + instance + "-" + strconv.Itoa(worker)
}

// changelogSegmentBytes keeps the segments of state topics small, so that
// compaction can drop them soon.
const changelogSegmentBytes = 16 << 20

// StoreTopicConfig describes the changelog topic of a store. It has no retention
// by time: event times of a replayed year would be old at birth.
func StoreTopicConfig(app, store string, partitions int32) commitlog.TopicConfig {
	return commitlog.TopicConfig{
		Name: StoreTopic(app, store), Partitions: partitions, Cleanup: commitlog.CleanupCompactDelete,
		SegmentBytes: changelogSegmentBytes, Internal: true,
	}
}

// PositionsTopicConfig describes the positions topic: one small record per task
// and commit, of which only the newest counts.
func PositionsTopicConfig(app string) commitlog.TopicConfig {
	return commitlog.TopicConfig{
		Name: PositionsTopic(app), Partitions: 1, Cleanup: commitlog.CleanupCompact,
		SegmentBytes: changelogSegmentBytes, Internal: true, KeepLatest: true,
	}
}

// RegistryTopicConfig describes the registry topic. It is apart from the positions,
// so that it can be read while a dead worker still has a transaction open there.
func RegistryTopicConfig(app string) commitlog.TopicConfig {
	return commitlog.TopicConfig{
		Name: RegistryTopic(app), Partitions: 1, Cleanup: commitlog.CleanupCompact,
		SegmentBytes: changelogSegmentBytes, Internal: true, KeepLatest: true,
	}
}
