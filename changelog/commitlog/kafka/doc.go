// Package kafka is the log contract on Apache Kafka. Any topology that runs on
// the embedded log runs on it unchanged, with the same guarantees.
//
// Connections and messages are package wire's. What Kafka's ordinary clients do
// between them and the application is done here: reading committed data (fetch.go,
// aborted.go), transactions, group membership, waiting until what was appended is
// decided (settled.go). DESIGN.md says what happens when, and why it is not left
// to kafka-go.
package kafka
