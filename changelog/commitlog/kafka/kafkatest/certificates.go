package kafkatest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificates are a certificate authority, made for one broker, and what it has
// signed: the broker's certificate for localhost and 127.0.0.1, and one of a
// client. All keys are ECDSA P-256; everything is valid for a day.
type Certificates struct {
	// CAFile is the authority's certificate in PEM.
	CAFile string
	// ClientCertFile and ClientKeyFile are the client's, in PEM.
	ClientCertFile, ClientKeyFile string

	serverFile string // key and certificate, as Kafka's PEM key stores have them
	pool       *x509.CertPool
	client     tls.Certificate
}

// ClientName is the common name in the client's certificate. Kafka calls whoever
// shows it User:CN=client.
const ClientName = "client"

// TLS is the configuration of a client that trusts the broker and shows no
// certificate.
func (c *Certificates) TLS() *tls.Config {
	return &tls.Config{RootCAs: c.pool, MinVersion: tls.VersionTLS12}
}

// MutualTLS is the configuration of a client that also shows a certificate.
func (c *Certificates) MutualTLS() *tls.Config {
	config := c.TLS()
	config.Certificates = []tls.Certificate{c.client}
	return config
}

// newCertificates makes everything anew and writes it to a directory.
func newCertificates(dir string) (*Certificates, error) {
	authority, err := newAuthority("tidemill test authority")
	if err != nil {
		return nil, err
	}
	server, err := authority.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "broker"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		// The broker connects to itself too, by its other role.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	client, err := authority.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: ClientName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	c := &Certificates{
		CAFile: filepath.Join(dir, "ca.pem"), serverFile: filepath.Join(dir, "server.pem"),
		ClientCertFile: filepath.Join(dir, "client.pem"), ClientKeyFile: filepath.Join(dir, "client-key.pem"),
		pool: x509.NewCertPool(),
	}
	c.pool.AddCert(authority.certificate)
	if c.client, err = tls.X509KeyPair(client.certificate, client.key); err != nil {
		return nil, err
	}
	return c, errors.Join(os.MkdirAll(dir, 0o700),
		os.WriteFile(c.CAFile, authority.pem, 0o644),
		os.WriteFile(c.serverFile, bytes.Join([][]byte{server.key, server.certificate}, nil), 0o600),
		os.WriteFile(c.ClientCertFile, client.certificate, 0o644),
		os.WriteFile(c.ClientKeyFile, client.key, 0o600))
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// signed is a key pair in PEM. The key is PKCS 8, the form that Java reads.
type signed struct{ certificate, key []byte }

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := createCertificate(template, template, key, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key, encodePEM("CERTIFICATE", der)}, err
}

func (a *authority) sign(template *x509.Certificate) (signed, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signed{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := createCertificate(template, a.certificate, key, a.key)
	if err != nil {
		return signed{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	return signed{encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", pkcs8)}, err
}

// createCertificate adds what all certificates have. Validity begins an hour ago:
// clocks of containers differ.
func createCertificate(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(24*time.Hour)
	return x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
