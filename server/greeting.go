package server

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"meridian"
)

// A greeting opens each replication connection, in both directions: a word and
// the term of who speaks. Where the two differ, one end follows, or is, a
// primary that was replaced, and both close.
type greeting [16]byte

const greetingWord = "meridian"

// greetingPatience is how long the accepting end waits for it.
const greetingPatience = 5 * time.Second

func greet(term uint64) (g greeting) {
	copy(g[:], greetingWord)
	binary.BigEndian.PutUint64(g[8:], term)
	return g
}

// check returns an error unless the other end is in the same term.
func (g greeting) check(term uint64) error {
	theirs := binary.BigEndian.Uint64(g[8:])
	switch {
	case string(g[:8]) != greetingWord:
		return meridian.WithKind(meridian.Invalid, fmt.Errorf("replication: the greeting begins with %q, want %q", g[:8], greetingWord))
	case theirs != term:
		return meridian.WithKind(meridian.Forbidden, fmt.Errorf("replication: the other end is in term %d, this one in %d", theirs, term))
	}
	return nil
}

// A greeted connection belongs to a standby. The greeting is sent at once, and
// the answer is looked at before anything else is read: it costs no round trip.
type greeted struct {
	net.Conn
	term  uint64
	heard bool
}

func greetFirst(c net.Conn, term uint64) (net.Conn, error) {
	g := greet(term)
	if _, err := c.Write(g[:]); err != nil {
		c.Close()
		return nil, err
	}
	return &greeted{Conn: c, term: term}, nil
}

// Read is for one goroutine, as that of a relay.
func (c *greeted) Read(b []byte) (int, error) {
	if !c.heard {
		var g greeting
		if _, err := io.ReadFull(c.Conn, g[:]); err != nil {
			return 0, err
		}
		if err := g.check(c.term); err != nil {
			c.Close()
			return 0, err
		}
		c.heard = true
	}
	return c.Conn.Read(b)
}

// answerGreeting is the accepting end's part.
func answerGreeting(c net.Conn, term uint64) error {
	if err := c.SetDeadline(time.Now().Add(greetingPatience)); err != nil {
		return err
	}
	var theirs greeting
	if _, err := io.ReadFull(c, theirs[:]); err != nil {
		return err
	}
	ours := greet(term)
	if _, err := c.Write(ours[:]); err != nil {
		return err
	}
	if err := theirs.check(term); err != nil {
		return err
	}
	return c.SetDeadline(time.Time{})
}
