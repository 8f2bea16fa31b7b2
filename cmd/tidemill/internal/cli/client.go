package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/runtime/query"
)

const (
	requestTimeout = 30 * time.Second
	// maxAnswer is several times what the application puts into one answer.
	maxAnswer = 64 << 20
	maxToken  = 4 << 10
)

// client asks a running application.
type client struct {
	addr, tokenFile string
	http            http.Client
}

// addClient gives a command the flags that say whom to ask.
func addClient(cmd *cobra.Command) *client {
	c := &client{http: http.Client{Timeout: requestTimeout, CheckRedirect: noRedirect}}
	cmd.Flags().StringVar(&c.addr, "addr", "http://127.0.0.1:8080", "`URL` of the application")
	cmd.Flags().StringVar(&c.tokenFile, "token-file", "", "`file` with the token of the application, which it keeps in its directory")
	return c
}

// noRedirect keeps the token with the application that was named.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// get asks for a path and decodes the answer. Elements of the path are escaped
// by the caller.
func (c *client) get(ctx context.Context, path string, params url.Values, into any) error {
	req, err := c.request(ctx, path, params)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return unreachable(ctx, c.addr, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return unreachable(ctx, c.addr, err)
	case len(body) > maxAnswer:
		return fmt.Errorf("%s: the answer has more than %d bytes; ask for less with --limit", req.URL.Path, maxAnswer)
	case res.StatusCode != http.StatusOK:
		return refused(req.URL, res, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: the answer is not what an application sends: %w; check --addr", req.URL, err)
	}
	return nil
}

func (c *client) request(ctx context.Context, path string, params url.Values) (*http.Request, error) {
	base, err := url.Parse(c.addr)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, usagef("--addr is %q: want a URL such as http://127.0.0.1:8080", c.addr)
	}
	target := strings.TrimSuffix(base.Scheme+"://"+base.Host+base.EscapedPath(), "/") + path
	if len(params) > 0 {
		target += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, usagef("--addr is %q: %w", c.addr, err)
	}
	if c.tokenFile == "" {
		return req, nil
	}
	if base.Scheme == "http" && !loopback(base.Hostname()) {
		return nil, usagef("--addr is %q: a token is not sent to another machine without encryption; use https", c.addr)
	}
	token, err := readToken(c.tokenFile)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	return req, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func readToken(path string) (query.Secret, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return query.Secret{}, usagef("--token-file: %w", err)
	}
	if err != nil {
		return query.Secret{}, fmt.Errorf("token file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return query.Secret{}, fmt.Errorf("token file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(text) > maxToken || strings.ContainsAny(token, "\r\n") {
		return query.Secret{}, fmt.Errorf("token file %s does not hold one line with a token", path)
	}
	return query.NewSecret(token), nil
}

func unreachable(ctx context.Context, addr string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var inner *url.Error // its text would repeat the whole URL
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return unhealthyf("%s does not answer: %w; is the application running, with Config.Listen set?", addr, err)
}

// refused turns an answer that is not OK into an error with the right exit code.
func refused(u *url.URL, res *http.Response, body []byte) error {
	var p query.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Code == "" {
		return fmt.Errorf("%s answered %s, which no application does; check --addr", u.Redacted(), res.Status)
	}
	detail := p.Detail
	if len(p.Stores) > 0 {
		detail += "; there are: " + strings.Join(p.Stores, ", ")
	}
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return notFoundf("%s: %s", p.Code, detail)
	case http.StatusBadRequest:
		return usagef("%s: %s", p.Code, detail)
	case http.StatusUnauthorized:
		return fmt.Errorf("%s: %s; name its file with --token-file", p.Code, detail)
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return unhealthyf("%s: %s", p.Code, detail)
	}
	return fmt.Errorf("%s: %s", p.Code, detail)
}
