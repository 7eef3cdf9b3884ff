package client

import "time"

// A Status is the state of a world. Its JSON is part of the outside surface:
// fields may be added and never change their meaning.
type Status struct {
	Domain  string   `json:"domain"`
	Block   int      `json:"block,omitempty"` // of an up world
	CA      string   `json:"ca,omitempty"`    // path, of an up world
	DNS     []string `json:"dns"`
	Console string   `json:"console"`
	Regions []Region `json:"regions"`
	Edges   []Edge   `json:"edges"`
	Nodes   []Node   `json:"nodes"`
	Backup  *Keeping `json:"backup,omitempty"` // nil without backups
	Notes   []string `json:"notes,omitempty"`
	Rollout *Rollout `json:"rollout,omitempty"` // under way, or rolled back within an hour

	Durability *Durability `json:"durability,omitempty"` // of the database
}

// A Durability says when commits are acknowledged: async, quorum, sync: REGION
// or rpo: TIME.
type Durability struct {
	Now  string `json:"now"`
	Next string `json:"next,omitempty"` // what an operator asked for and is not in effect yet
}

// A Keeping is how the backups do, as the primary's region tells.
type Keeping struct {
	To       string    `json:"to"`
	Archived time.Time `json:"archived,omitzero"` // all of the log that there was at this time is kept
	Newest   time.Time `json:"newest,omitzero"`   // when the newest base backup ended
	Error    string    `json:"error,omitempty"`   // why the last try failed
}

// A Region is one region in a Status.
type Region struct {
	Name      string `json:"name"`
	Primary   bool   `json:"primary"`
	Healthy   bool   `json:"healthy"`
	Drained   bool   `json:"drained"`
	Phase     string `json:"phase,omitempty"` // joining or leaving; it does not count then
	Why       string `json:"why"`
	ReplayLag int64  `json:"replay_lag_ms"` // -1: unknown
	Gateway   string `json:"gateway"`
	Postgres  string `json:"postgres,omitempty"`

	Standbys []Standby `json:"standbys,omitempty"` // beside its own PostgreSQL
}

// A Standby is a further PostgreSQL standby of a region in a Status.
type Standby struct {
	Node      string `json:"node"`
	Healthy   bool   `json:"healthy"`
	Why       string `json:"why"`
	ReplayLag int64  `json:"replay_lag_ms"` // behind the primary; -1: unknown
}

// An Edge is one edge in a Status.
type Edge struct {
	Name    string   `json:"name"`
	Healthy bool     `json:"healthy"`
	Why     string   `json:"why"`
	HTTPS   string   `json:"https"`
	HTTP    string   `json:"http"`
	Clients []string `json:"clients"`
	Serves  string   `json:"serves,omitempty"` // the region that its requests go to now
}

// A Node is one process in a Status.
type Node struct {
	Name  string   `json:"name"`
	Alive bool     `json:"alive"`
	Why   string   `json:"why"`
	Roles []string `json:"roles"`
	State string   `json:"state,omitempty"` // of its process, in an up world
	PID   int      `json:"pid,omitempty"`
}

// A Key is an API key without its secret.
type Key struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Revoked bool      `json:"revoked"`
}

// A NewKey is an API key with its secret, which exists nowhere else.
type NewKey struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Key  string `json:"key"`
}

// A Span is one hop's part of a trace.
type Span struct {
	Trace  string            `json:"trace"`
	ID     string            `json:"id"`
	Parent string            `json:"parent,omitempty"`
	Name   string            `json:"name"`
	Node   string            `json:"node"`
	Start  time.Time         `json:"start"`
	Took   time.Duration     `json:"took"`
	Attrs  map[string]string `json:"attrs,omitempty"`
	Error  string            `json:"error,omitempty"`
}

// A Moved is what became of a move of the primary.
type Moved struct {
	Region string        `json:"region"`
	Term   uint64        `json:"term"`
	Why    string        `json:"why"`
	Pause  time.Duration `json:"pause"`  // nanoseconds without writes, where it was planned
	Killed int           `json:"killed"` // sessions that could not move
}

// A LostWrite is a transaction that a primary acknowledged and that was not
// replicated before its region was lost.
type LostWrite struct {
	Region   string    `json:"region"` // whose log has it
	Timeline uint32    `json:"timeline"`
	LSN      string    `json:"lsn"` // of its commit record
	XID      uint32    `json:"xid"`
	Handle   string    `json:"handle,omitempty"` // by which a client was told of it; "" if it left none
	Kept     time.Time `json:"kept"`             // when the region came back and kept it
}

// A Backup is one base backup of the database, and how far the log leads from
// it.
type Backup struct {
	Name     string    `json:"name"`
	System   string    `json:"system"` // the database system's identifier
	Region   string    `json:"region"`
	Timeline uint32    `json:"timeline"`
	Ended    time.Time `json:"ended"` // the earliest moment that it restores to
	Bytes    int64     `json:"bytes"`
	From     string    `json:"from"`  // the earliest position
	Until    string    `json:"until"` // the latest; "" if that is not known
}
