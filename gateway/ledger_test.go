package gateway_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"meridian"
	"meridian/gateway"
	"meridian/gateway/ledger"
)

// A shared ledger is that of all regions, in memory. lost makes it forget a claim
// before that is settled, as a failover does; away makes it unreachable.
type shared struct {
	mu       sync.Mutex // guards what follows
	entries  map[ledger.Scope]ledger.Entry
	holders  map[ledger.Scope]string
	away     error
	lost     bool
	large    bool // answers are too large to be kept
	over     bool // the time of all executions has passed
	released int
}

func newShared() *shared {
	return &shared{entries: map[ledger.Scope]ledger.Entry{}, holders: map[ledger.Scope]string{}}
}

var claimed = meridian.Token{Database: "pets", System: 7, Timeline: 1, LSN: 0x99}

func (s *shared) Claim(_ context.Context, c ledger.Claim) (ledger.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return ledger.Entry{}, s.away
	}
	if _, taken := s.entries[c.Scope]; !taken || s.holders[c.Scope] == c.ID {
		s.entries[c.Scope], s.holders[c.Scope] = ledger.Entry{Print: c.Print, Region: c.Region, Request: c.Request, ID: c.ID, Clean: true}, c.ID
	}
	e := s.entries[c.Scope]
	e.Mine, e.Token, e.Over = s.holders[c.Scope] == c.ID, claimed, s.over
	return e, nil
}

func (s *shared) Settle(_ context.Context, c ledger.Claim, a ledger.Answer) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return false, s.away
	}
	if s.lost || s.holders[c.Scope] != c.ID {
		delete(s.entries, c.Scope)
		return false, nil
	}
	e := s.entries[c.Scope]
	if e.Done = true; !s.large {
		a.Body = []byte(string(a.Body))
		e.Answer = &a
	}
	s.entries[c.Scope] = e
	return true, nil
}

func (s *shared) Touch(_ context.Context, c ledger.Claim) (meridian.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[c.Scope]
	if s.holders[c.Scope] != c.ID {
		return meridian.Token{}, meridian.WithKind(meridian.Forbidden, errors.New("it is another's"))
	}
	e.Clean = false
	s.entries[c.Scope] = e
	t := claimed
	t.LSN++
	return t, nil
}

func (s *shared) Take(_ context.Context, c ledger.Claim, from string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[c.Scope]; s.holders[c.Scope] == from && e.Clean && !e.Done && e.Print == c.Print {
		e.Region, e.Request, e.ID = c.Region, c.Request, c.ID
		s.entries[c.Scope], s.holders[c.Scope] = e, c.ID
		s.over = false
	}
	return nil
}

func (s *shared) Release(_ context.Context, c ledger.Claim) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released++
	delete(s.entries, c.Scope)
	return nil
}

// keyedPair are two regions with one ledger.
func keyedPair(t *testing.T, a, b *functions) (*shared, *world, *world) {
	s := newShared()
	region := func(name meridian.Region, fns *functions) *world {
		return newWorld(t, fns, func(c *gateway.Config, d *gateway.Deps) { c.Region, d.Ledger = name, s })
	}
	return s, region("eu-west-1", a), region("us-east-1", b)
}

const created = `{"statusCode":201,"headers":{"Content-Type":"text/plain","X-One":"1"},"cookies":["a=1"],"body":"made"}`
