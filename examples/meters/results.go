package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/tidemill/tidemill/examples/meters/metering"
	"github.com/tidemill/tidemill/runtime"
)

// writeResults writes the hourly averages that have been committed to a file, in
// the order of the partitions. The file appears when it is complete: a crash
// leaves none, or the one from before.
func writeResults(ctx context.Context, app *runtime.App, job metering.Job, name string) (rows int64, err error) {
	unfinished := name + ".tmp"
	f, err := os.Create(unfinished)
	if err != nil {
		return 0, err
	}
	buf := bufio.NewWriter(f)
	rows, err = exportHourly(ctx, app, job, buf)
	if err = errors.Join(err, buf.Flush(), f.Sync(), f.Close()); err != nil {
		return 0, errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(unfinished))
	}
	return rows, os.Rename(unfinished, name)
}

// exportHourly writes the result topic one partition after the other.
func exportHourly(ctx context.Context, app *runtime.App, job metering.Job, w io.Writer) (rows int64, err error) {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"meter_id", "window_start", "mean_kwh"}); err != nil {
		return 0, err
	}
	for r, err := range runtime.ReadAll(ctx, app, job.Hourly()) {
		if err != nil {
			return rows, err
		}
		start := r.Key.Start.Time().Format(time.RFC3339)
		if err := out.Write([]string{r.Key.Key, start, strconv.FormatFloat(r.Value, 'g', -1, 64)}); err != nil {
			return rows, err
		}
		rows++
	}
	out.Flush()
	return rows, out.Error()
}
