package meridian

import (
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

// Stricter returns the one of two that promises more.
func (c Consistency) Stricter(d Consistency) Consistency {
	if d.Level > c.Level || d.Level == c.Level && d.Bound < c.Bound {
		return d
	}
	return c
}
