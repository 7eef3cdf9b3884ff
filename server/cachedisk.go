package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"meridian/edge/cache"
	"meridian/edge/cache/disk"
	"meridian/edge/purge"
)

// cacheDisk returns where on disk this node's cache goes on, if the file wants
// that. A folder of a former start is forgotten if it does not: from now on
// nobody tells it of purges.
func (n *node) cacheDisk() (cache.Disk, error) {
	dir := filepath.Join(n.cfg.State, "cache")
	if n.file.Limits.CacheDisk == 0 {
		if err := disk.Discard(dir); err != nil {
			return cache.Disk{}, fmt.Errorf("forget the cache on disk: %w", err)
		}
		return cache.Disk{}, nil
	}
	n.purging.kept = filepath.Join(dir, "purges.json")
	return cache.Disk{Dir: dir, Bytes: int64(n.file.Limits.CacheDisk), Node: n.self.Name}, nil
}

// resume goes on where the process before this one stopped to read the log of
// purges. Where that is not known, or a node has left with its log, what was
// purged meanwhile is not known either.
func (p *purging) resume() {
	b, err := os.ReadFile(p.kept)
	was := map[string]purge.Position{}
	if err == nil {
		err = json.Unmarshal(b, &was)
	}
	if err != nil {
		p.applied.Apply(p.unknown(p.self))
		return
	}
	p.read = was
	there := map[string]bool{}
	each(p.store.View(), purgePrefix, p.log, func(node string, _ purge.Log) { there[node] = true })
	for node := range was {
		if !there[node] {
			p.applied.Apply(p.unknown(node))
		}
	}
}

// keepPositions writes down how far the log is read, once that is done here: who
// reads too little of it for known reads it again. It is called with p.mu held.
func (p *purging) keepPositions() {
	if p.kept == "" || p.written != nil && maps.Equal(p.read, p.written) {
		return
	}
	tmp := p.kept + ".new"
	err := os.WriteFile(tmp, mustJSON(p.read), 0o600)
	if err == nil {
		err = os.Rename(tmp, p.kept)
	}
	if err != nil {
		p.log.Warn("how far the log of purges is read was not written down", "why", err.Error())
		return
	}
	p.written = map[string]purge.Position{}
	maps.Copy(p.written, p.read)
}
