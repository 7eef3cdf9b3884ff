// Package sockdir finds short folders for Unix sockets, whose paths have at
// most 107 bytes, while state folders may be deep.
package sockdir

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// For returns the folder for the sockets of the state folder at state, and
// makes it. Only this user may write in what stands above it.
func For(state string) (string, error) {
	base := "/run/meridian"
	if os.Getuid() != 0 {
		base = filepath.Join(os.TempDir(), fmt.Sprintf("meridian-%d", os.Getuid()))
	} else if _, err := os.Stat("/run"); err != nil {
		base = "/var/run/meridian"
	}
	sum := sha256.Sum256([]byte(state))
	dir := filepath.Join(base, hex.EncodeToString(sum[:5]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("folder for sockets: %w", err)
	}
	st, err := os.Lstat(base)
	if err != nil {
		return "", fmt.Errorf("folder for sockets: %w", err)
	}
	if !st.IsDir() || st.Mode().Perm()&0o022 != 0 || !ownedByUs(st) {
		return "", fmt.Errorf("folder for sockets: %s belongs to somebody else or can be written by others", base)
	}
	return dir, nil
}
