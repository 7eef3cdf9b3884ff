package server

import (
	"log/slog"
	"testing"
	"time"

	"meridian/internal/keyring"
)

func TestATicketKeyRestsBeforeItSealsAndIsThenForgotten(t *testing.T) {
	start := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	var known []ticketKey
	for i := range 5 {
		known = append(known, ticketKey{[32]byte{byte(i + 1)}, start.Add(time.Duration(i) * ticketPeriod)})
	}
	for _, tt := range []struct {
		name  string
		known []ticketKey
		at    time.Time
		want  string
	}{
		{"none", nil, start, ""},
		{"the first need not rest", known[:1], start, "1"},
		{"the next rests", known[:2], start.Add(ticketPeriod + ticketRest - 1), "12"},
		{"and seals then", known[:2], start.Add(ticketPeriod + ticketRest), "21"},
		{"the last three open", known[:4], start.Add(3*ticketPeriod + ticketRest), "423"},
		{"one that nobody replaced stays", known[:1], start.Add(9 * ticketPeriod), "1"},
		{"of two old ones the newer", known[:2], start.Add(9 * ticketPeriod), "2"},
	} {
		got := ""
		for _, k := range sealing(tt.known, tt.at) {
			got += string('0' + rune(k[0]))
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestEdgesShareTheirTicketKeys lets two edges find the keys of several periods.
func TestEdgesShareTheirTicketKeys(t *testing.T) {
	ledger, ring := newLedger(), ringOf(t, keyring.NewLine())
	clock := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	newOne := func(ring func() (keyring.Ring, error)) *tickets {
		k := newTickets(&ledgerEnd{memoryLedger: ledger}, ring, slog.New(slog.DiscardHandler))
		k.clock = func() time.Time { return clock }
		return k
	}
	a, b, stranger := newOne(ring), newOne(ring), newOne(ringOf(t, keyring.NewLine()))
	look := func(k *tickets) {
		t.Helper()
		for range 2 { // makes the key of the period, and sees it
			if err := k.look(t.Context(), k.store.View().Prefix(ticketPrefix), k.period()); err != nil {
				t.Fatal(err)
			}
		}
	}
	var before [32]byte
	for range 6 {
		look(a)
		look(b)
		clock = clock.Add(ticketRest)
		x, y := a.now(), b.now()
		if len(x) == 0 || len(x) != len(y) || x[0] != y[0] {
			t.Fatalf("two edges have %d and %d keys", len(x), len(y))
		}
		if x[0] == before {
			t.Error("the key of the next period is the same")
		}
		before = x[0]
		clock = clock.Add(ticketPeriod - ticketRest)
	}
	if n := len(a.store.View().Prefix(ticketPrefix)); n > ticketsKept+1 {
		t.Errorf("%d keys are kept", n)
	}
	clock = clock.Add(-ticketPeriod)
	look(stranger) // the control: who cannot open them has none
	if len(stranger.now()) != 0 {
		t.Error("a node without the ring has the keys")
	}
}
