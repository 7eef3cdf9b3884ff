package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A copy on disk is one line of header and a change that is whole, as JSON:
//
//	meridian-store 1 SHA256-OF-THE-REST
//	{"cluster":...,"rev":...,"whole":true,"set":[...]}
const header = "meridian-store 1 "

// maxCopy keeps a broken disk from filling the memory.
const maxCopy = 256 << 20

func encode(v *View) ([]byte, error) {
	body, err := json.Marshal(v.whole())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return append([]byte(header+hex.EncodeToString(sum[:])+"\n"), body...), nil
}

func decode(b []byte) (*View, error) {
	head, body, ok := bytes.Cut(b, []byte("\n"))
	sum, ours := bytes.CutPrefix(head, []byte(header))
	if !ok || !ours {
		return nil, errors.New("it does not begin as a copy of the store does")
	}
	if got := sha256.Sum256(body); hex.EncodeToString(got[:]) != string(sum) {
		return nil, errors.New("its checksum does not match")
	}
	var c change
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, err
	}
	if !c.Whole || c.Rev <= 0 {
		return nil, errors.New("it is not a whole view")
	}
	return newView(c.Cluster, c.Rev, c.Set), nil
}

func load(name string) (*View, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxCopy {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", info.Size(), maxCopy)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return decode(b)
}

// save replaces the file in one step: a crash leaves the old copy or the new.
func save(name string, v *View) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
