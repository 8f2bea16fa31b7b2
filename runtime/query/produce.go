package query

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/tidemill/tidemill/changelog/commitlog/recordbatch"
)

type appendRequest struct {
	Records []appendRecord `json:"records"`
}

type appendRecord struct {
	Key         json.RawMessage `json:"key"`
	KeyBase64   *string         `json:"key_base64"`
	Value       json.RawMessage `json:"value"`
	ValueBase64 *string         `json:"value_base64"`
	Time        json.RawMessage `json:"time"`
	Partition   *int32          `json:"partition"`
}

// AppendedRecord is where a record was appended.
type AppendedRecord struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// appendTopic appends all records in one transaction, or none.
func (h *handler) appendTopic(w http.ResponseWriter, r *http.Request, _ params) error {
	t, err := h.findTopic(r)
	if err != nil {
		return err
	}
	if t.internal {
		p := problem(CodeForbidden, fmt.Sprintf("topic %s belongs to the application: a record of anybody else's would change its state", t.Name))
		p.Topic = t.Name
		return p
	}
	records, err := h.readRecords(r, t)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.Limits.AppendTime)
	defer cancel()
	ids, err := h.backend.Produce(ctx, t.Name, records)
	if err != nil {
		return appendError(t.Name, err)
	}
	appended := make([]AppendedRecord, len(ids))
	for i, id := range ids {
		appended[i] = AppendedRecord{id.Partition, id.Offset}
	}
	return sendJSON(w, http.StatusOK, struct {
		Topic   string           `json:"topic"`
		Records []AppendedRecord `json:"records"`
	}{t.Name, appended})
}

// appendError adds to a deadline what a client has to know: the records may have
// been written.
func appendError(topic string, err error) error {
	p := problemOf(err)
	if p.Code == CodeDeadline {
		p.Detail = "the append took too long; the records may or may not have been written: read the topic before you send them again"
	}
	p.Topic, p.cause = topic, fmt.Errorf("append to topic %s: %w", topic, err)
	return p
}

func (h *handler) readRecords(r *http.Request, t topic) ([]Produced, error) {
	var req appendRequest
	if err := readJSON(r.Body, &req); err != nil {
		return nil, err
	}
	if n := len(req.Records); n == 0 || n > h.opts.Limits.Records {
		return nil, badParameter("records", fmt.Sprintf("have %d records, want 1 to %d", n, h.opts.Limits.Records))
	}
	records := make([]Produced, len(req.Records))
	for i, in := range req.Records {
		out, err := in.encode(t)
		if err != nil {
			return nil, badParameter(fmt.Sprintf("records[%d]", i), err.Error())
		}
		records[i] = out
	}
	return records, nil
}

func (in appendRecord) encode(t topic) (out Produced, err error) {
	if out.Key, err = t.key.read("key", in.Key, in.KeyBase64); err != nil {
		return out, err
	}
	if out.Value, err = t.value.read("value", in.Value, in.ValueBase64); err != nil {
		return out, err
	}
	if recordbatch.RecordSize(out.Key, out.Value, nil) > recordbatch.MaxBatchBytes {
		return out, fmt.Errorf("the record is larger than a batch may be")
	}
	if in.Partition != nil && (*in.Partition < 0 || *in.Partition >= t.Partitions) {
		return out, fmt.Errorf("partition %d: topic %s has %d", *in.Partition, t.Name, t.Partitions)
	}
	out.Partition = in.Partition
	if in.Time != nil && string(in.Time) != "null" {
		out.Time, err = recordTime(in.Time)
	}
	return out, err
}

// recordTime reads milliseconds or RFC 3339. A negative time would be refused by
// every source that reads the record.
func recordTime(raw json.RawMessage) (time.Time, error) {
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return time.Time{}, fmt.Errorf("time: %w", err)
		}
	}
	ms, err := parseTime(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("time: %w", err)
	}
	if ms < 0 {
		return time.Time{}, fmt.Errorf("time: %d ms is before 1970", ms)
	}
	return time.UnixMilli(ms).UTC(), nil
}
