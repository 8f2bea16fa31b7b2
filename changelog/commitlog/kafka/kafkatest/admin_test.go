package kafkatest

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// answering listens on a port and gives every client the same bytes.
func answering(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(answer))
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return l.Addr().String()
}

// Whatever listens there, what is no Kafka is not taken for one.
func TestReadyAgainstStrangers(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"TLS":          {"\x15\x03\x01\x00\x02\x02\x46", "without TLS?"},
		"web server":   {"HTTP/1.1 400 Bad Request\r\n\r\n", "without TLS?"},
		"empty answer": {"\x00\x00\x00\x00", "an answer of 0 bytes"},
		"short":        {"\x00\x00\x00\x05\x00\x00\x00\x01\x00", "cannot be read"},
		"error":        {"\x00\x00\x00\x0f\x00\x00\x00\x01\x00\x23\x01\x00\x00\x00\x00\x00\x00\x00\x00", "error 35"},
		"silent":       {"", "127.0.0.1:"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			err := ready(ctx, answering(t, c.answer), "id")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v: want %q", err, c.want)
			}
		})
	}
}
