package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// A Pair is a key of a key-value store of edge functions, and its value.
type Pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	// ETag names this value of this key alone. Of a change it is what must still
	// be there; "" asks for nothing.
	ETag    string    `json:"etag,omitempty"`
	Updated time.Time `json:"updated,omitzero"`
}

// Pairs returns what a store holds, sorted by key.
func (c *Client) Pairs(ctx context.Context, store string) (out []Pair, err error) {
	return out, c.call(ctx, http.MethodGet, "/v1/kvs/"+url.PathEscape(store), nil, &out)
}

// PutPair sets a key, everywhere, and returns what is there now.
func (c *Client) PutPair(ctx context.Context, store string, p Pair) (out Pair, err error) {
	return out, c.call(ctx, http.MethodPut, "/v1/kvs/"+url.PathEscape(store), p, &out)
}

// DeletePair removes a key, everywhere. Of p its key and ETag count.
func (c *Client) DeletePair(ctx context.Context, store string, p Pair) error {
	var gone Pair
	return c.call(ctx, http.MethodDelete, "/v1/kvs/"+url.PathEscape(store), p, &gone)
}
