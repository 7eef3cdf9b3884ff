package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"meridian/edge/accesslog"
)

// accessLog returns where this node's edge writes its requests, nil for nowhere.
// In a folder each node has a file of its own: several may share the machine.
func (n *node) accessLog() (*accesslog.Config, error) {
	l := n.file.AccessLog
	if l == nil {
		return nil, nil
	}
	c := &accesslog.Config{To: "-", Format: accesslog.Format(l.Format), Sample: l.Sample / 100, Secrets: l.Secrets, Cookies: l.Cookies, Size: int64(l.Size), Keep: l.Keep}
	if l.Keep == 0 {
		c.Keep = -1
	}
	if l.To != "stdout" {
		if err := os.MkdirAll(l.To, 0o750); err != nil {
			return nil, fmt.Errorf("access log: %w", err)
		}
		c.To = filepath.Join(l.To, strings.ReplaceAll(n.self.Name, "/", "-")+".access.log")
	}
	return c, nil
}
