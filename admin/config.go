package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"

	"meridian"
	"meridian/client"
)

// Config is what an operator says.
type Config struct {
	Listen string // host:port
	Token  string // what callers must show; "" refuses everything that wants one
}

// Deps is what the program provides.
type Deps struct {
	// Open makes the socket to listen on, or finds one that was handed over; nil
	// means net.ListenConfig.
	Open   func(ctx context.Context, network, address string) (net.Listener, error)
	Status func() client.Status
	Keys   Keys
	Drain  func(ctx context.Context, region meridian.Region, out bool) error
	Move   func(ctx context.Context, to meridian.Region, how client.Move) (client.Moved, error)
	// Durable changes when commits are acknowledged, and returns once that holds.
	Durable func(context.Context, meridian.Durability) (client.Durability, error)
	Regions func() json.RawMessage // the roster
	// Join and Leave return once that is under way, Join with the roster then.
	Join    func(context.Context, client.Join) (json.RawMessage, error)
	Leave   func(context.Context, meridian.Region) error
	Lost    func(context.Context) ([]client.LostWrite, error)
	Backup  func(context.Context) (client.Backup, error)
	Backups func(context.Context) ([]client.Backup, error)
	Certs   Certificates
	Stores  Stores
	Rollout Rollouts
	Glance  func(context.Context) *client.Rollout // at the newest rollout, where a status should show it; nil without
	Purge   func(context.Context, client.Purge) (client.Purged, error)
	Reload  func(context.Context) ([]client.Reloaded, error)
	Spans   func(ctx context.Context, trace string) []client.Span
	Metrics http.Handler
	Log     *slog.Logger
}

// Keys is the authority over API keys.
type Keys interface {
	Create(ctx context.Context, name string) (client.NewKey, error)
	List() []client.Key
	Revoke(ctx context.Context, id string) (client.Key, error)
}
