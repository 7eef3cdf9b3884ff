package pki

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"meridian/internal/keyring"
)

// CertKeys is the name, in the folder of the authority, of the file with the
// keys that private keys are encrypted with in the store: a line for each, of
// which the first encrypts. All nodes need the same.
const CertKeys = "certs.key"

// KeepCertKeys sees to it that there is such a file in dir. With rotate it puts a
// new key before those that are there.
func KeepCertKeys(dir string, rotate bool) error {
	path := filepath.Join(dir, CertKeys)
	old, err := os.ReadFile(path)
	switch {
	case err == nil && len(bytes.TrimSpace(old)) > 0 && !rotate:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("keys of the certificates' private keys: %w", err)
	}
	return replaceText(path, append([]byte(keyring.NewLine()), old...), 0o600)
}
