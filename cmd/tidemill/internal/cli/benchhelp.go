package cli

const hourlyLong = `Every meter is read in rounds of 15 minutes from 2025-06-01 00:00 UTC. The
timestamp of a record is its event time: that of the round, plus a uniform jitter
from -5 to +5 minutes. One reading in 200 is delayed by 20 to 90 minutes and is
sent in the round nearest to the end of its delay. The order within a round is
random. The key is m and the number of the meter in seven digits, the value is the
energy in kWh, a float64 and a multiple of 1/1024 below 4. Seed and order of draws
are fixed, so that every run of the same size has the same input. After the last
round each partition gets one more record (~flush-P, 0 kWh) two hours later, which
closes all windows.

The result is the mean of each meter and hour: tumbling windows with 15 minutes of
grace, keyed by meter and window start. A reading is dropped if its window's end
plus grace is not after the highest event time of its partition so far. 10,000
meters and 400 rounds give 4,000,000 records and 1,005,006 results.

Emission per update or commit: the last value of each window has to be right. On
close: there has to be exactly one for each.`

const countLong = `Keys are uniform over m0000000 and following; the values are not looked at. The
result is the running count of each key. The last one of each key has to be right.`

const restoreLong = `The records of 'bench count' are counted, the state directory is deleted, and the
application is started again. Measured is the time until every store is restored;
records are those of the changelog, which is read in full. The counts of all keys
have to add up to the number of records. The handwritten loop reads the same
changelog into a Go map.`

const benchLong = `Each phase runs in a process of its own: fill, process, verify, handwritten. The
log is on disk and every commit is synced.

The output is one JSON line for the engine and one for a handwritten loop: one
goroutine over the same batches, which lie in memory before it begins. It checks
and decodes them, keeps Go maps (for hours one map for each open hour), applies
the same rule for late readings and encodes the same results. It lets go of them
after as many records as the engine's mean commit held. It writes nothing to disk.

Measured is the processing: from the start of the workers until everything is
processed and committed, and stores and log are closed.
  cpu_seconds        user and system time of all threads of the process
  commit_share       the part of it that workers spent in commits
  bytes_written      journal and segments of the log; fsyncs are the log's, too.
                     What else the process sent to the disk, for its stores, is in
                     the table only, where the system tells ("disk MB")
  allocs_per_record  heap objects
  peak_rss_bytes     the highest of the process, for the handwritten loop with
                     the whole input
  verified           every result was compared with an offline computation
On a terminal a table of all lines follows on the standard error. If a result is
wrong the exit code is 1.`
