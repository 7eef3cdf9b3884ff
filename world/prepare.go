package world

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"meridian/config"
	"meridian/internal/pki"
)

// secret returns the path of a secret of n random bytes below state, made at
// the first call.
func secret(state, name string, n int) (string, error) {
	path := filepath.Join(state, "secrets", name)
	if b, err := os.ReadFile(path); err == nil && len(b) == 2*n {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("secret %s: %w", name, err)
	}
	b := make([]byte, n)
	rand.Read(b)
	if err := writeFile(path, []byte(hex.EncodeToString(b)), 0o600); err != nil {
		return "", fmt.Errorf("secret %s: %w", name, err)
	}
	return path, nil
}

// writeFile replaces a file as a whole or not at all.
func writeFile(path string, b []byte, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// secrets makes the secrets that f generates, and points f at their files.
func secrets(f *config.File, state string) error {
	made := map[string]config.Secret{}
	for name, s := range f.Secrets {
		if s.Generate > 0 {
			path, err := secret(state, filepath.Join("file", name), s.Generate) // apart from Meridian's own
			if err != nil {
				return err
			}
			s = config.Secret{File: path}
		}
		made[name] = s
	}
	f.Secrets = made
	if f.Database != nil && f.Database.Password == "" {
		path, err := secret(state, "postgres", 16)
		if err != nil {
			return err
		}
		db := *f.Database
		db.Password = path
		f.Database = &db
	}
	_, err := secret(state, AdminToken, 32)
	return err
}

// AdminToken is the name, below the secrets of a state folder, of what callers
// of the admin API must show.
const AdminToken = "admin"

// certificates makes the world's CA and the nodes' certificates, and the
// domain's where the file names none.
func certificates(f *config.File) error {
	var nodes []string
	for _, n := range f.Nodes {
		nodes = append(nodes, n.Name)
	}
	ca, err := pki.Create(f.PKI, nodes...)
	if err == nil {
		err = pki.KeepCertKeys(f.PKI, false)
	}
	if err != nil || len(f.Pairs()) > 0 {
		return err
	}
	cert, key, err := ca.IssueServer(Names(f)...)
	if err != nil {
		return err
	}
	f.Certificates = append(slices.Clone(f.Certificates), config.Certificate{Cert: cert, Key: key})
	return nil
}

// A Builder makes the bundle of a function in dir and returns the path of its
// executable.
type Builder func(ctx context.Context, fn config.Function, dir string) (string, error)

// bundles builds every function once, and points f at what was built: nodes
// never compile.
func bundles(ctx context.Context, f *config.File, state string, build Builder) error {
	dir := filepath.Join(state, "bundles")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("bundles: %w", err)
	}
	built := append([]config.Function(nil), f.Functions...)
	for i, fn := range built {
		binary, err := build(ctx, fn, dir)
		if err != nil {
			return fmt.Errorf("build function %s: %w", fn.Name, err)
		}
		fn.Go, fn.Zip, fn.Binary = "", "", binary
		built[i] = fn
	}
	f.Functions = built
	return nil
}
