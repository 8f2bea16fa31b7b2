package query

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestServerRefusesOtherMachines(t *testing.T) {
	token, cert := NewSecret(plantedToken), &tls.Config{}
	tests := []struct {
		addr string
		opts ServerOptions
		ok   bool
	}{
		{"127.0.0.1:0", ServerOptions{}, true},
		{"localhost:0", ServerOptions{}, true},
		{":0", ServerOptions{}, false},
		{"0.0.0.0:0", ServerOptions{}, false},
		{"0.0.0.0:0", ServerOptions{TLS: cert}, false},
		{"0.0.0.0:0", ServerOptions{Token: token}, false},
		{"0.0.0.0:0", ServerOptions{TLS: cert, Token: token}, true},
		{"0.0.0.0:0", ServerOptions{InsecureListen: true}, true},
		{"nonsense", ServerOptions{}, false},
	}
	for _, tt := range tests {
		srv, l, err := Server(tt.addr, okHandler(), tt.opts)
		if (err == nil) != tt.ok {
			t.Errorf("%s with %+v: error %v", tt.addr, tt.opts, err)
		}
		if err != nil {
			if tt.addr != "nonsense" && !strings.Contains(err.Error(), "InsecureListen") {
				t.Errorf("the error does not name the way out: %v", err)
			}
			continue
		}
		if srv.ReadHeaderTimeout != 5*time.Second || srv.ReadTimeout != 15*time.Second || srv.IdleTimeout != time.Minute || srv.MaxHeaderBytes != 16<<10 {
			t.Errorf("limits are %+v", srv)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestServerServes(t *testing.T) {
	srv, l, err := Server("127.0.0.1:0", okHandler(), ServerOptions{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !Loopback(l) {
		t.Error("the listener is not taken for loopback")
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	holder, err := net.Dial("tcp", l.Addr().String()) // takes the only slot
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	url := "http://" + l.Addr().String()
	if err := get(ctx, url); err == nil {
		t.Error("a second connection is served beyond the limit")
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	if err := get(t.Context(), url); err != nil {
		t.Errorf("after the first connection has gone: %v", err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.ReadAll(resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func TestToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	first, created, err := LoadOrCreateToken(path)
	if err != nil || !created || len(first.Reveal()) != 64 {
		t.Fatalf("created %v, %d digits, %v", created, len(first.Reveal()), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	again, created, err := LoadOrCreateToken(path)
	if err != nil || created || again.Reveal() != first.Reveal() {
		t.Errorf("loaded another token, created %v, %v", created, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func TestBadTokenFiles(t *testing.T) {
	good := strings.Repeat("ab", 32)
	tests := map[string]struct {
		content string
		mode    os.FileMode
		ok      bool
	}{
		"with line end": {good + "\n", 0o600, true},
		"read only":     {good, 0o400, true},
		"for all":       {good, 0o644, false},
		"for the group": {good, 0o640, false},
		"empty":         {"", 0o600, false},
		"short":         {good[2:], 0o600, false},
		"long":          {strings.Repeat(good, 1000), 0o600, false},
		"not hex":       {strings.Repeat("zz", 32), 0o600, false},
	}
	for name, tt := range tests {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(tt.content), tt.mode); err != nil {
			t.Fatal(err)
		}
		token, _, err := LoadOrCreateToken(path)
		if (err == nil) != tt.ok || err != nil && (!token.IsZero() || strings.Contains(err.Error(), good)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := LoadOrCreateToken(t.TempDir()); err == nil {
		t.Error("a directory passes for a token file")
	}
	if _, err := createToken(filepath.Join(t.TempDir(), "token"), bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a token of too few random bytes")
	}
}
