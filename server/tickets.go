package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"meridian/internal/keyring"
	"meridian/store"
)

// ticketPrefix is the key of the store, before a period, that holds a
// ticketRecord.
const ticketPrefix = "ticket-keys/"

// A ticketRecord is a key that edges seal TLS tickets with (RFC 8446, section
// 4.6.1), so that a client resumes at another edge than it began at. It is
// encrypted as private keys are: who has it reads what was resumed with TLS 1.2.
type ticketRecord struct {
	Key     keyring.Sealed `json:"key"`
	Created time.Time      `json:"created"`
}

const (
	ticketPeriod = 8 * time.Hour   // each has a key of its own
	ticketsKept  = 3               // so a ticket is good for 16 to 24 hours
	ticketRest   = 2 * time.Minute // a key seals nothing before every edge has surely heard of it
	ticketRetry  = time.Second
)

// A ticketKey is a ticketRecord that could be opened.
type ticketKey struct {
	key     [32]byte
	created time.Time
}

// sealing returns the keys in the order in which an edge uses them: it seals with
// the newest that has rested, and opens with those of the last periods. Known is
// oldest first. The first key of a world need not rest.
func sealing(known []ticketKey, now time.Time) (keys [][32]byte) {
	known = known[max(0, len(known)-ticketsKept):]
	first := 0
	for i, k := range known {
		if now.Sub(k.created) >= ticketRest {
			first = i
		}
	}
	for i, k := range known {
		if now.Sub(k.created) > ticketsKept*ticketPeriod && i < len(known)-1 {
			continue
		}
		if i == first {
			keys = append([][32]byte{k.key}, keys...)
		} else {
			keys = append(keys, k.key)
		}
	}
	return keys
}

// tickets are a node's keys of tickets.
type tickets struct {
	store certLedger
	ring  func() (keyring.Ring, error)
	log   *slog.Logger
	clock func() time.Time
	known atomic.Pointer[[]ticketKey]
}

func newTickets(s certLedger, ring func() (keyring.Ring, error), log *slog.Logger) *tickets {
	return &tickets{store: s, ring: ring, log: log.With("hop", "edge"), clock: time.Now}
}

// now returns the keys; none while there are none, and then an edge makes its own.
func (t *tickets) now() [][32]byte {
	known := t.known.Load()
	if known == nil {
		return nil
	}
	return sealing(*known, t.clock())
}

// run keeps the keys, until ctx is over. Any edge makes that of a period; the
// store lets one win.
func (t *tickets) run(ctx context.Context, ready func()) error {
	ready()
	said, seen := "", ""
	for {
		watch := t.store.Watch()
		stored := t.store.View().Prefix(ticketPrefix)
		period := t.period()
		var err error
		if mark := certMark(stored) + period; mark != seen {
			if err = t.look(ctx, stored, period); err == nil {
				seen = mark
			}
		}
		if err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			t.log.Warn("no shared keys for TLS tickets: clients resume at the edge alone where they began", "why", said)
		}
		again := time.Minute
		if err != nil {
			again = ticketRetry
		}
		wait := time.NewTimer(again)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-watch:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// period is the key of the store for the key of now.
func (t *tickets) period() string {
	return fmt.Sprintf("%s%010d", ticketPrefix, t.clock().Unix()/int64(ticketPeriod/time.Second))
}

// look takes the keys of the store, makes that of the period if it is not there,
// and forgets old ones.
func (t *tickets) look(ctx context.Context, stored []store.Entry, period string) error {
	ring, err := t.ring()
	if err != nil {
		return err
	}
	var known []ticketKey
	has := false
	for _, e := range stored {
		has = has || e.Key == period
		var r ticketRecord
		if json.Unmarshal(e.Value, &r) != nil {
			continue
		}
		text, err := ring.Open(e.Key, r.Key)
		if err != nil || len(text) != 32 {
			continue
		}
		known = append(known, ticketKey{[32]byte(text), r.Created})
	}
	t.known.Store(&known)
	if !has {
		return t.make(ctx, ring, period)
	}
	for _, e := range stored[:max(0, len(stored)-ticketsKept-1)] {
		if strings.Compare(e.Key, period) < 0 {
			t.store.Delete(ctx, e.Key) // it is tried again with the next change
		}
	}
	return nil
}

func (t *tickets) make(ctx context.Context, ring keyring.Ring, period string) error {
	var key [32]byte
	rand.Read(key[:]) // never fails
	sealed, err := ring.Seal(period, key[:])
	if err == nil {
		_, err = t.store.CompareAndSwap(ctx, period, 0, mustJSON(ticketRecord{sealed, t.clock().UTC()}))
	}
	return err
}
