package kafkatest

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The names of the listeners. All but ListenerPlaintext are there if
// Options.Security is set.
const (
	// ListenerPlaintext asks for nothing.
	ListenerPlaintext = "PLAINTEXT"
	// ListenerSSL has TLS and asks for no certificate of the client.
	ListenerSSL = "SSL"
	// ListenerMutual has TLS and wants a certificate of the client.
	ListenerMutual = "MTLS"
	// ListenerSASL has TLS and wants a user's password, by PLAIN, SCRAM-SHA-256 or
	// SCRAM-SHA-512.
	ListenerSASL = "SASL_SSL"

	listenerController = "CONTROLLER"
)

// protocols says for each listener what Kafka calls its protocol.
var protocols = map[string]string{
	listenerController: "PLAINTEXT", ListenerPlaintext: "PLAINTEXT",
	ListenerSSL: "SSL", ListenerMutual: "SSL", ListenerSASL: "SASL_SSL",
}

// testDefaults are settings that make one node enough and tests short. Timers
// that Kafka runs every 10 s to 5 min run every second here: expired
// transactions, retention, compaction. A killed broker may register again when the
// session of the one before has ended: after 3 s here instead of 9 s.
var testDefaults = map[string]string{
	"auto.create.topics.enable":                                   "false",
	"offsets.topic.replication.factor":                            "1",
	"offsets.topic.num.partitions":                                "4",
	"transaction.state.log.replication.factor":                    "1",
	"transaction.state.log.min.isr":                               "1",
	"transaction.state.log.num.partitions":                        "4",
	"share.coordinator.state.topic.replication.factor":            "1",
	"share.coordinator.state.topic.min.isr":                       "1",
	"share.coordinator.state.topic.num.partitions":                "1",
	"group.initial.rebalance.delay.ms":                            "0",
	"group.min.session.timeout.ms":                                "1000",
	"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	"broker.session.timeout.ms":                                   "3000",
	"broker.heartbeat.interval.ms":                                "500",
	"log.initial.task.delay.ms":                                   "1000",
	"log.retention.check.interval.ms":                             "1000",
	"log.cleaner.backoff.ms":                                      "1000",
	"log.cleaner.dedupe.buffer.size":                              "16777216",
}

// properties are all settings of the broker.
func (b *Broker) properties() map[string]string {
	p := map[string]string{
		"process.roles":              "broker,controller",
		"node.id":                    "1",
		"controller.listener.names":  listenerController,
		"inter.broker.listener.name": ListenerPlaintext,
		"controller.quorum.voters":   "1@" + b.listeners[listenerController],
		"log.dirs":                   filepath.Join(b.dir, "log"),
	}
	var listeners, advertised, protocolMap []string
	for _, name := range slices.Sorted(maps.Keys(b.listeners)) {
		listeners = append(listeners, name+"://"+b.listeners[name])
		protocolMap = append(protocolMap, name+":"+protocols[name])
		if name != listenerController {
			advertised = append(advertised, name+"://"+b.listeners[name])
		}
	}
	p["listeners"] = strings.Join(listeners, ",")
	p["advertised.listeners"] = strings.Join(advertised, ",")
	p["listener.security.protocol.map"] = strings.Join(protocolMap, ",")
	maps.Copy(p, testDefaults)
	if s := b.options.Security; s != nil {
		maps.Copy(p, s.properties(b.certificates))
	}
	maps.Copy(p, b.options.Properties)
	return p
}

const (
	brokerFile    = "server.properties"
	brokerLogging = "log4j2.properties"
	toolLogging   = "tools-log4j2.properties"
)

// writeConfig writes the files that the broker and the tools read.
func (b *Broker) writeConfig() error {
	for name, text := range map[string]string{
		brokerFile:    encodeProperties(b.properties()),
		brokerLogging: logging("warn", "SYSTEM_OUT", "%d %p %m (%c)%n"),
		toolLogging:   logging("error", "SYSTEM_ERR", "%p %m (%c)%n"),
	} {
		// Passwords are among the settings.
		if err := os.WriteFile(b.file(name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("settings of the broker: %w", err)
		}
	}
	return nil
}

func (b *Broker) file(name string) string { return filepath.Join(b.dir, name) }

func logging(level, target, pattern string) string {
	return encodeProperties(map[string]string{
		"status": "error", "rootLogger.level": level, "rootLogger.appenderRef.a.ref": "A",
		"appender.a.type": "Console", "appender.a.name": "A", "appender.a.target": target,
		"appender.a.layout.type": "PatternLayout", "appender.a.layout.pattern": pattern,
	})
}

var propertyEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// encodeProperties writes a Java properties file, sorted by key.
func encodeProperties(p map[string]string) string {
	var out strings.Builder
	for _, key := range slices.SortedFunc(maps.Keys(p), cmp.Compare[string]) {
		value := propertyEscapes.Replace(p[key])
		if strings.HasPrefix(value, " ") {
			value = `\` + value
		}
		fmt.Fprintf(&out, "%s=%s\n", key, value)
	}
	return out.String()
}
