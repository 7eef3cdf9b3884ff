package world

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"meridian"
)

// A Record is what a state folder remembers of its world, for whoever wants to
// talk to it.
type Record struct {
	PID    int    `json:"pid"` // of the supervisor
	Block  int    `json:"block"`
	Domain string `json:"domain"`
	CA     string `json:"ca"`
	Admin  string `json:"admin"` // base URL of the admin API
	Token  string `json:"token"` // file with what the admin API wants to see
	Socket string `json:"socket"`
	Plan   string `json:"plan"` // the derived production file
	State  string `json:"state"`
}

const recordName = "world.json"

// Read returns the record of the world whose state is in dir.
func Read(dir string) (Record, error) {
	state := dir
	if at, err := os.ReadFile(filepath.Join(dir, pointer)); err == nil {
		state = strings.TrimSpace(string(at))
	}
	b, err := os.ReadFile(filepath.Join(state, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, meridian.WithKind(meridian.NotFound, fmt.Errorf("no world has its state in %s; start one with `meridian up FILE`, or name another folder with --state", dir))
	}
	if err != nil {
		return Record{}, fmt.Errorf("read the world's record: %w", err)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("read the world's record %s: %w", filepath.Join(state, recordName), err)
	}
	return r, nil
}

func (r Record) write() error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(r.State, recordName), append(b, '\n'), 0o644)
}
