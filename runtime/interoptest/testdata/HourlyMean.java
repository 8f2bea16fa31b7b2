// The hourly mean per key, in Kafka Streams: what the test in Go computes too. It
// runs until its standard input ends.
//
//   java -cp ... HourlyMean.java BROKERS APPLICATION STATE-DIR INPUT UPDATES FINALS WINDOWED READ
//
// UPDATES gets every new mean, FINALS the last of each window. WINDOWED is a topic
// of another program with windowed keys; READ gets its rows, with the key as text.
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.kstream.WindowedSerdes;

public class HourlyMean {
    record Mean(double sum, long n) {
        Mean add(double v) { return new Mean(sum + v, n + 1); }
        double value() { return sum / n; }
    }

    static final Serde<Mean> MEAN = Serdes.serdeFrom(
        (topic, m) -> m == null ? null : ByteBuffer.allocate(16).putDouble(m.sum()).putLong(m.n()).array(),
        (topic, bytes) -> {
            if (bytes == null) return null;
            ByteBuffer b = ByteBuffer.wrap(bytes);
            return new Mean(b.getDouble(), b.getLong());
        });

    public static void main(String[] args) throws Exception {
        Duration hour = Duration.ofHours(1);
        Serde<Windowed<String>> windowed = WindowedSerdes.timeWindowedSerdeFrom(String.class, hour.toMillis());
        StreamsBuilder b = new StreamsBuilder();
        KTable<Windowed<String>, Mean> means = b.stream(args[3], Consumed.with(Serdes.String(), Serdes.Double()))
            .groupByKey()
            .windowedBy(TimeWindows.ofSizeAndGrace(hour, Duration.ofMinutes(15)))
            .aggregate(() -> new Mean(0, 0), (k, v, m) -> m.add(v), Materialized.with(Serdes.String(), MEAN));
        means.toStream().mapValues(Mean::value).to(args[4], Produced.with(windowed, Serdes.Double()));
        means.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
            .toStream().mapValues(Mean::value).to(args[5], Produced.with(windowed, Serdes.Double()));
        b.stream(args[6], Consumed.with(windowed, Serdes.Double()))
            .map((k, v) -> KeyValue.pair(k.key() + "@" + k.window().start() + "-" + k.window().end(), v))
            .to(args[7], Produced.with(Serdes.String(), Serdes.Double()));

        Properties p = new Properties();
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
        p.put(StreamsConfig.STATE_DIR_CONFIG, args[2]);
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "100");
        // Without a cache every update leaves.
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        p.put("auto.offset.reset", "earliest");

        KafkaStreams streams = new KafkaStreams(b.build(), p);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        while (System.in.read() >= 0) { }
        streams.close(Duration.ofSeconds(30));
    }
}
