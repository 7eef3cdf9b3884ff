package client

import (
	"context"
	"net/http"
	"time"
)

// A Reloaded is what became of a new file at one node.
type Reloaded struct {
	Node    string        `json:"node"`
	Changed []string      `json:"changed"`       // keys of the file that now hold as it has them
	Restart []string      `json:"restart"`       // keys that differ from the node's start and need a restart of it
	Took    time.Duration `json:"took"`          // nanoseconds
	Why     string        `json:"why,omitempty"` // it was refused, and the old file holds
}

// Reload has every node read its file again. That one refuses it is no error:
// the answer says so.
func (c *Client) Reload(ctx context.Context) (done []Reloaded, err error) {
	return done, c.call(ctx, http.MethodPost, "/v1/reloads", nil, &done)
}
