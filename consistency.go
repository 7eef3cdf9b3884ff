package meridian

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A Level is how much a read may not miss. A higher one promises more.
type Level int8

// The levels. Session is the zero value.
const (
	Eventual Level = iota - 2 // whatever the replica has
	Bounded                   // all that was committed until some time ago
	Session                   // all that the caller wrote or was shown
	Global                    // all that was committed when the read began
	Strong                    // it runs on the primary
)

// A Consistency is what the reads of a database, of a connection or of one
// statement are promised.
type Consistency struct {
	Level Level
	Bound time.Duration // of Bounded: how old the data may be
}

// Levels names what ParseConsistency takes, for people.
const Levels = "eventual, bounded(250ms), session, global or strong"

// ParseConsistency reads what String writes, in upper or lower case. Of
// bounded the time is anything that time.ParseDuration takes above zero.
func ParseConsistency(s string) (Consistency, error) {
	word := strings.ToLower(strings.TrimSpace(s))
	switch word {
	case "eventual":
		return Consistency{Level: Eventual}, nil
	case "session":
		return Consistency{}, nil
	case "global":
		return Consistency{Level: Global}, nil
	case "strong":
		return Consistency{Level: Strong}, nil
	}
	inner, ok := strings.CutPrefix(word, "bounded")
	if inner = strings.TrimSpace(inner); ok && strings.HasPrefix(inner, "(") && strings.HasSuffix(inner, ")") {
		if d, err := time.ParseDuration(strings.TrimSpace(inner[1 : len(inner)-1])); err == nil && d > 0 {
			return Consistency{Bounded, d}, nil
		}
	}
	return Consistency{}, fmt.Errorf("consistency %.80q: want %s", s, Levels)
}

func (c Consistency) String() string {
	switch c.Level {
	case Eventual:
		return "eventual"
	case Bounded:
		return "bounded(" + c.Bound.String() + ")"
	case Global:
		return "global"
	case Strong:
		return "strong"
	}
	return "session"
}

// Both returns the least promise that keeps two. Of bounded and session neither
// keeps the other: one may miss the caller's own last write, the other may be
// of any age; global keeps both.
func (c Consistency) Both(d Consistency) Consistency {
	if c.Level > d.Level {
		c, d = d, c
	}
	switch {
	case c.Level == Bounded && d.Level == Session:
		return Consistency{Level: Global}
	case c.Level == Bounded && d.Level == Bounded && c.Bound < d.Bound:
		return c
	}
	return d
}

// An Unreachable says what becomes of a read whose promise no node can keep.
type Unreachable string

// What may become of it. "" is Refuse, or what a wider setting says.
const (
	Refuse     Unreachable = "error" // it fails
	ServeStale Unreachable = "stale" // the replica answers, and the answer says so
)

// ParseUnreachable reads a setting.
func ParseUnreachable(s string) (Unreachable, error) {
	switch u := Unreachable(s); u {
	case Refuse, ServeStale:
		return u, nil
	}
	return "", fmt.Errorf("%.80q: want error or stale", s)
}

// A Promise is what an invocation's statements are promised: what its route says
// of its reads, and of its writes to which history they belong. The zero Promise
// is that of the database.
type Promise struct {
	Consistency *Consistency // nil: the database's
	Unreachable Unreachable  // "": the database's
	Claim       Token        // what goes to the primary runs only where this is part of the history; zero: on any
	Touch       Toucher      // is asked before the first that may write goes there; nil: nobody
}

// A Toucher is told that an invocation is about to write. It returns the position
// from which that is known, which takes the place of the claim. Its error keeps the
// write from being sent: of kind Forbidden, for good. It may be called more than
// once, and by several at once.
type Toucher interface {
	Touch(context.Context) (Token, error)
}

// Carriers say how a consistency token travels between a client and a door:
// the zero value is by cookie and by header.
type Carriers struct{ NoCookie, NoHeader bool }
