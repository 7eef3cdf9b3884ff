package client

import (
	"context"
	"net/http"
	"time"
)

// MaxPurgeWait bounds Purge.Wait.
const MaxPurgeWait = time.Minute

// A Purge is what is to leave the caches of all edges.
type Purge struct {
	ID         string   `json:"id,omitempty"`   // whoever hears nothing asks again with the same; "" makes one
	Items      []string `json:"items"`          // /a/path with all its queries and variants, /a/prefix*, or #tag
	Host       string   `json:"host,omitempty"` // "" means every host
	Everything bool     `json:"everything,omitempty"`
	Soft       bool     `json:"soft,omitempty"` // what is purged becomes stale, and is not removed
	// Wait, if not 0, waits so long for edges that do not answer.
	Wait time.Duration `json:"wait,omitempty"`
}

// A Purged is what became of a Purge.
type Purged struct {
	ID         string        `json:"id"`
	Everywhere bool          `json:"everywhere"` // every edge is done
	Kept       bool          `json:"kept"`       // an edge that is not done finds it in the store's log
	Took       time.Duration `json:"took"`       // nanoseconds
	Edges      []PurgedEdge  `json:"edges"`
}

// A PurgedEdge is what became of a Purge at one edge.
type PurgedEdge struct {
	Edge    string        `json:"edge"`
	Done    bool          `json:"done"`
	Objects int           `json:"objects"` // removed, or made stale
	Took    time.Duration `json:"took"`
	Why     string        `json:"why,omitempty"` // it is not done
}

// Purge takes responses out of the caches of all edges. That an edge is not done
// is no error: the answer says so.
func (c *Client) Purge(ctx context.Context, p Purge) (done Purged, err error) {
	return done, c.call(ctx, http.MethodPost, "/v1/purges", p, &done)
}
