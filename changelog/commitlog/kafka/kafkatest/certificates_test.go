package kafkatest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
)

// serveTLS takes one client with the server's files, as the broker does.
func serveTLS(t *testing.T, c *Certificates, demand tls.ClientAuthType) string {
	t.Helper()
	text, err := os.ReadFile(c.serverFile)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: c.pool, ClientAuth: demand})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("x"))
	}()
	return l.Addr().String()
}

// answered says whether a client with this configuration gets a byte. With TLS 1.3
// a refusal of the client's certificate shows at the first read only.
func answered(addr string, config *tls.Config) error {
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	return err
}

func TestCertificates(t *testing.T) {
	c, err := newCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := newCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fromFiles, err := tls.LoadX509KeyPair(c.ClientCertFile, c.ClientKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(c.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	forged := c.TLS()
	forged.Certificates = stranger.MutualTLS().Certificates
	for name, tc := range map[string]struct {
		demand tls.ClientAuthType
		client *tls.Config
		ok     bool
	}{
		"trusts the authority":          {tls.NoClientCert, c.TLS(), true},
		"trusts another authority":      {tls.NoClientCert, stranger.TLS(), false},
		"shows its certificate":         {tls.RequireAndVerifyClientCert, c.MutualTLS(), true},
		"shows none":                    {tls.RequireAndVerifyClientCert, c.TLS(), false},
		"shows another authority's":     {tls.RequireAndVerifyClientCert, forged, false},
		"with what it finds in the PEM": {tls.RequireAndVerifyClientCert, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{fromFiles}}, true},
	} {
		if err := answered(serveTLS(t, c, tc.demand), tc.client); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Keys are for their owner only.
func TestKeysArePrivate(t *testing.T) {
	c, err := newCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{c.serverFile, c.ClientKeyFile} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}
