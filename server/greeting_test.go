package server

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"context"

	"meridian"
)

// TestAStreamOfAnotherTermIsRefusedAtBothEnds joins a standby of one term with
// a primary of another. The control is the same term: bytes go both ways.
func TestAStreamOfAnotherTermIsRefusedAtBothEnds(t *testing.T) {
	for _, c := range []struct {
		standby, primary uint64
		pass             bool
	}{{7, 7, true}, {6, 7, false}, {8, 7, false}} {
		near, far := net.Pipe()
		s := newStreams(func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { io.Copy(there, there); there.Close() }() // a PostgreSQL that echoes; it ends with the relay
			return here, nil
		}, func() (uint64, bool) { return c.primary, true }, slog.New(slog.DiscardHandler))
		s.admit(true)
		var serving sync.WaitGroup
		serving.Go(func() { s.carry(t.Context(), far) })
		conn, err := greetFirst(near, c.standby)
		if err != nil {
			t.Fatal(err)
		}
		said := make(chan error, 1)
		go func() { _, err := conn.Write([]byte("ping")); said <- err }()
		b := make([]byte, 4)
		_, err = io.ReadFull(conn, b)
		if c.pass && (err != nil || string(b) != "ping") {
			t.Errorf("both in term %d: %q, %v", c.primary, b, err)
		}
		if !c.pass && (err == nil || !strings.Contains(err.Error(), "the other end is in term 7")) {
			t.Errorf("standby in term %d, primary in %d: %q, %v", c.standby, c.primary, b, err)
		}
		conn.Close()
		serving.Wait() // the primary's end is closed, too
		if <-said; len(s.live) != 0 {
			t.Errorf("%d connections remain", len(s.live))
		}
	}
}

// FuzzGreeting: bytes that are no greeting of the term are never one.
func FuzzGreeting(f *testing.F) {
	g := greet(7)
	f.Add(g[:], uint64(7))
	f.Add([]byte("START_REPLICATION"), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, term uint64) {
		var g greeting
		copy(g[:], b)
		want := string(g[:8]) == greetingWord && binary.BigEndian.Uint64(g[8:]) == term
		if err := g.check(term); (err == nil) != want {
			t.Errorf("%x in term %d: %v", g, term, err)
		} else if err != nil && meridian.KindOf(err) == meridian.Internal {
			t.Errorf("%v has no kind", err)
		}
	})
}
