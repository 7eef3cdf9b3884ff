package world

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// sharedState is where state lives when other users cannot reach the folder
// that was asked for.
const sharedState = "/var/lib/meridian"

// pointer is the file in a state folder that says where the state really is.
const pointer = "elsewhere"

// settle returns the folder that holds the state for dir, and a note for
// people if it is another one. As root, PostgreSQL and the functions run as
// users of their own, who must be able to pass through every folder above.
func settle(dir string) (state, note string, err error) {
	return settleAs(dir, os.Getuid() == 0, sharedState)
}

func settleAs(dir string, root bool, shared string) (state, note string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", "", fmt.Errorf("state folder: %w", err)
	}
	if at, err := os.ReadFile(filepath.Join(dir, pointer)); err == nil {
		state = strings.TrimSpace(string(at))
		if err := os.MkdirAll(state, 0o755); err != nil {
			return "", "", fmt.Errorf("state folder: %w", err)
		}
		return state, fmt.Sprintf("state is in %s (see %s)", state, filepath.Join(dir, pointer)), nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", fmt.Errorf("state folder: %w", err)
	}
	closed := closedFolder(dir)
	if !root || closed == "" {
		return dir, "", nil
	}
	sum := sha256.Sum256([]byte(dir))
	state = filepath.Join(shared, hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(state, 0o755); err != nil {
		return "", "", fmt.Errorf("state folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, pointer), []byte(state+"\n"), 0o644); err != nil {
		return "", "", fmt.Errorf("state folder: %w", err)
	}
	return state, fmt.Sprintf("state is in %s, since other users cannot pass through %s", state, closed), nil
}

// closedFolder returns the first folder from dir upwards that others cannot
// pass through, or "".
func closedFolder(dir string) string {
	for {
		if st, err := os.Stat(dir); err == nil && st.Mode().Perm()&0o001 == 0 {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// Settle returns the folder in which an up world of dir keeps its state, and a
// note for people if it is another one.
func Settle(dir string) (state, note string, err error) { return settle(dir) }
