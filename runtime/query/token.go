package query

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const tokenBytes = 32

// LoadOrCreateToken reads the token from a file, or makes one of 32 random bytes
// and writes it there in hex, readable by the owner only. created tells which, so
// that a new token can be shown once. A file that others may read is refused.
//
// It does not go through the engine's file system, which knows no permissions.
func LoadOrCreateToken(path string) (token Secret, created bool, err error) {
	token, err = loadToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, false, err
	}
	token, err = createToken(path, rand.Reader)
	return token, err == nil, err
}

func loadToken(path string) (Secret, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Secret{}, fmt.Errorf("token file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Secret{}, fmt.Errorf("token file %s is not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Secret{}, fmt.Errorf("token file %s can be read by others (mode %04o): run chmod 600 on it, or delete it for a new token", path, info.Mode().Perm())
	}
	if info.Size() > 2*tokenBytes+2 { // a line end is allowed
		return Secret{}, fmt.Errorf("token file %s has %d bytes, want %d hex digits: delete it for a new token", path, info.Size(), 2*tokenBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, fmt.Errorf("token file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if raw, err := hex.DecodeString(token); err != nil || len(raw) != tokenBytes {
		return Secret{}, fmt.Errorf("token file %s does not hold %d hex digits: delete it for a new token", path, 2*tokenBytes)
	}
	return NewSecret(token), nil
}

// createToken writes beside the file and renames, so that a crash leaves no half
// token, and so that the file never exists with wider permissions.
func createToken(path string, random io.Reader) (Secret, error) {
	raw := make([]byte, tokenBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return Secret{}, fmt.Errorf("token file %s: random bytes: %w", path, err)
	}
	token := hex.EncodeToString(raw)
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*") // mode 0600
	if err != nil {
		return Secret{}, fmt.Errorf("token file %s: %w", path, err)
	}
	_, err = f.WriteString(token + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("token file %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return NewSecret(token), nil
}
