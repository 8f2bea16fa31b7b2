//go:build ignore

// Cut makes the bundled sample from the whole data set:
//
//	zcat readings.csv.gz | go run examples/meters/data/cut.go > examples/meters/data/readings.csv.gz
//
// It is deterministic: the same input gives the same bytes.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	days       = 7
	everyMeter = 7         // one meter in so many, in order of id
	negative   = "9717902" // kept as well: the one meter with readings below zero
	interval   = 15 * time.Minute
)

// row is a line of the data set and the moment at which it arrives in the sample.
type row struct {
	line    string
	arrives time.Time
}

func main() {
	rows, err := cut(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	// The data set is in order of time, so a stable sort moves delayed rows only.
	slices.SortStableFunc(rows, func(a, b row) int { return a.arrives.Compare(b.arrives) })
	if err := write(os.Stdout, rows); err != nil {
		log.Fatal(err)
	}
}

// cut keeps the first days of some meters.
func cut(in io.Reader) ([]row, error) {
	var rows []row
	var first time.Time
	kept := map[string]bool{} // by meter, whether it is in the sample
	random := rand.New(rand.NewPCG(1, 1))
	lines := bufio.NewScanner(in)
	lines.Scan() // the header
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ",")
		at, err := time.Parse(time.RFC3339, fields[1])
		if err != nil {
			return nil, err
		}
		if first.IsZero() {
			first = at
		}
		if at.Sub(first) >= days*24*time.Hour {
			return rows, nil
		}
		if _, seen := kept[fields[0]]; !seen {
			kept[fields[0]] = len(kept)%everyMeter == 0 || fields[0] == negative
		}
		if kept[fields[0]] {
			rows = append(rows, row{lines.Text(), at.Add(delay(random))})
		}
	}
	return rows, lines.Err()
}

// delay lets one reading in thirty arrive an interval late, which the grace
// period of the example allows for, and one in five hundred two hours late, which
// is too late.
func delay(random *rand.Rand) time.Duration {
	switch n := random.IntN(3000); {
	case n < 6:
		return 2 * time.Hour
	case n < 106:
		return interval
	}
	return 0
}

func write(to io.Writer, rows []row) error {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	fmt.Fprintln(z, "meter_id,timestamp,kwh")
	for _, r := range rows {
		fmt.Fprintln(z, r.line)
	}
	if err := z.Close(); err != nil {
		return err
	}
	_, err = to.Write(out.Bytes())
	return err
}
