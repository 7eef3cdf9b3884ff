// Package client speaks to Meridian's admin API, and walks the path of one
// request (`meridian trace`). It knows no hop.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"meridian"
)

// A Client calls one admin API.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New returns a client of the admin API at base, such as
// http://127.10.0.1:8090, which wants to see token.
func New(base, token string) *Client {
	return &Client{strings.TrimSuffix(base, "/"), token, &http.Client{Timeout: 90 * time.Second}}
}

// Status returns the world's state.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// CreateKey makes an API key. Its secret is shown this once.
func (c *Client) CreateKey(ctx context.Context, name string) (k NewKey, err error) {
	return k, c.call(ctx, http.MethodPost, "/v1/keys", map[string]string{"name": name}, &k)
}

// Keys lists the API keys, revoked ones too.
func (c *Client) Keys(ctx context.Context) (ks []Key, err error) {
	return ks, c.call(ctx, http.MethodGet, "/v1/keys", nil, &ks)
}

// RevokeKey makes a key worthless in all regions.
func (c *Client) RevokeKey(ctx context.Context, id string) (k Key, err error) {
	return k, c.call(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(id), nil, &k)
}

// Drain takes a region out of steering, or lets it back in.
func (c *Client) Drain(ctx context.Context, region meridian.Region, out bool) error {
	method := http.MethodPut
	if !out {
		method = http.MethodDelete
	}
	return c.call(ctx, method, "/v1/drain/"+url.PathEscape(string(region)), nil, nil)
}

// A Move says how the primary is to be moved.
type Move struct {
	Force bool `json:"force"` // without the consent of the region that is it now
	// Wait, if not 0, gives the move up if sessions that cannot move are still
	// there after it. With 0 they are ended.
	Wait time.Duration `json:"wait,omitempty"`
}

// Move moves the primary to a region.
func (c *Client) Move(ctx context.Context, to meridian.Region, how Move) (m Moved, err error) {
	in := struct {
		Region meridian.Region `json:"region"`
		Move
	}{to, how}
	return m, c.call(ctx, http.MethodPost, "/v1/primary", in, &m)
}

// SetDurability changes when commits are acknowledged, and returns once that is
// in effect.
func (c *Client) SetDurability(ctx context.Context, d meridian.Durability) (now Durability, err error) {
	return now, c.call(ctx, http.MethodPut, "/v1/durability", map[string]any{"durability": d}, &now)
}

// A Join is a region that is to join, as a file has it.
type Join struct {
	Region  string            `json:"region"`
	Roster  json.RawMessage   `json:"roster"`  // the file's regions and nodes
	Outline map[string]string `json:"outline"` // digests of the rest of it
}

// Join lets a region into the world, and returns once that is under way, with
// the roster of all regions and nodes.
func (c *Client) Join(ctx context.Context, j Join) (roster json.RawMessage, err error) {
	return roster, c.call(ctx, http.MethodPost, "/v1/regions", j, &roster)
}

// Roster returns all regions and nodes.
func (c *Client) Roster(ctx context.Context) (roster json.RawMessage, err error) {
	return roster, c.call(ctx, http.MethodGet, "/v1/regions", nil, &roster)
}

// Leave takes a region out of the world, and returns once that is under way.
func (c *Client) Leave(ctx context.Context, region meridian.Region) error {
	return c.call(ctx, http.MethodDelete, "/v1/regions/"+url.PathEscape(string(region)), nil, nil)
}

// LostWrites returns the transactions that were acknowledged and lost.
func (c *Client) LostWrites(ctx context.Context) (lost []LostWrite, err error) {
	return lost, c.call(ctx, http.MethodGet, "/v1/lost-writes", nil, &lost)
}

// Backup makes a base backup of the database now.
func (c *Client) Backup(ctx context.Context) (b Backup, err error) {
	patient := &Client{c.base, c.token, &http.Client{}} // a copy of everything takes as long as it takes
	return b, patient.call(ctx, http.MethodPost, "/v1/backups", nil, &b)
}

// Backups lists the base backups of the database.
func (c *Client) Backups(ctx context.Context) (bs []Backup, err error) {
	return bs, c.call(ctx, http.MethodGet, "/v1/backups", nil, &bs)
}

// Spans returns what all nodes kept of a trace.
func (c *Client) Spans(ctx context.Context, trace string) (spans []Span, err error) {
	return spans, c.call(ctx, http.MethodGet, "/v1/traces/"+url.PathEscape(trace), nil, &spans)
}

// A refusal is what the admin API says when it does not do a thing.
type refusal struct {
	Message string        `json:"message"`
	Kind    meridian.Kind `json:"kind"`
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return meridian.WithKind(meridian.Unavailable, fmt.Errorf("the admin API does not answer: %w", err))
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		var r refusal
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil || r.Message == "" {
			return fmt.Errorf("the admin API answered %s", resp.Status)
		}
		return meridian.WithKind(r.Kind, errors.New(r.Message))
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the admin API's answer: %w", err)
	}
	return nil
}
