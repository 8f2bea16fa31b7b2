// Package wire speaks Kafka's protocol: connections, versions, metadata,
// coordinators, one request or a pipeline of them, error codes. It knows nothing
// of what the log contract makes of the answers.
//
// Connections (pool, TLS, SASL) are kafka-go's, messages are kmsg's. kafka-go's
// own calls are not used, because several of them break exactly-once without an
// error: its Fetch returns aborted records and loops at the tail of a compacted
// batch, its Produce drops the transactional bit, its Heartbeat cannot see a
// rebalance, its OffsetFetch cannot ask for stable offsets, and its version table
// ends below the newer transaction protocol. Its protocol.RawExchanger hook runs
// our own bytes on its pooled connections instead (exchange.go).
//
// Nothing here retries a request that may have had an effect: an [*IOError] is
// ambiguous, and only the caller knows how to find out. What is asked again on
// its own accord is metadata and coordinators ([Backoff]).
package wire
