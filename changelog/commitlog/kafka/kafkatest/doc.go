// Package kafkatest runs a real Apache Kafka of one node for tests and for
// development. The broker comes as jars through Maven and runs on Java 17 or
// newer; nothing else is installed, and nothing of it is left but a cache.
//
// A test that any broker can serve takes the one that the environment names:
//
//	log := open(kafkatest.Address(t)) // skips without TIDEMILL_KAFKA
//
// A test that kills, pauses or configures its broker takes one of its own:
//
//	b := kafkatest.Own(t, kafkatest.Options{}) // skips without TIDEMILL_KAFKA
//	b.Kill()
//	b.Start(ctx)
//
// What a broker needs:
//
//   - Java 17 or newer, from JAVA_HOME or PATH.
//   - Maven on PATH, the first time a version is used. The jars (about 130 MB a
//     version) are kept in the user's cache directory, or in TIDEMILL_KAFKA_CACHE.
//
// The broker listens on 127.0.0.1 only, and without a password unless
// Options.Security asks for it. It is made for tests: one node, small internal
// topics, timers that are shorter than Kafka's.
package kafkatest
