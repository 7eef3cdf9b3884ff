package cache

import (
	"net/http"

	"meridian"
)

// covers decides whether an answer with that version may be shown to a caller
// that has seen floor (guarantee 1). An answer without a token for a database
// does not rest on it: a region says what it read.
func covers(version, floor meridian.Tokens) verdict {
	for _, t := range floor {
		v := version.Of(t.Database)
		switch {
		case v.IsZero():
		case v.System != t.System:
			return verdict{false, "it is of another history than the caller's token"}
		case v.Timeline != t.Timeline:
			return verdict{false, "it is of another timeline than the caller's token"}
		case t.LSN > v.LSN:
			return verdict{false, "it is older than the caller's token"}
		}
	}
	return verdict{true, ""}
}

// carried reports whether a request that went out with floor asked for all that
// a caller has seen.
func carried(floor, caller meridian.Tokens) bool {
	for _, t := range caller {
		f := floor.Of(t.Database)
		if f.IsZero() || f.System != t.System || f.Timeline != t.Timeline || t.LSN > f.LSN {
			return false
		}
	}
	return true
}

const (
	headerTokens = "Meridian-Consistency"

	// HeaderSince is how a region, or a shield, says what an answer is at least as
	// new as, whatever its request asked for.
	HeaderSince = "Meridian-Since"
)

// atLeast returns what an answer is at least as new as, which is the newer of what
// its request asked for and what it says.
func atLeast(told meridian.Tokens, h http.Header, floor meridian.Tokens) meridian.Tokens {
	return least(told, newer(floor, h[HeaderSince]))
}

// tokensOf returns what an answer's data is as new as. Only nodes speak to nodes
// here: what it says is believed.
func tokensOf(lines []string) (ts meridian.Tokens) {
	for _, line := range lines {
		more, _ := meridian.ParseTokens(line)
		for _, t := range more {
			ts, _ = ts.Advance(t)
		}
	}
	return ts
}

// least returns what an answer's data is at least as new as, which is what the
// request asked for, or what its region says of itself apart (HeaderSince). What the answer says is as new as its caller must hold it
// for, and may be newer than what it shows: a region looks at its log after it
// has read, and the log may have moved on in between. Of a database that the
// request asked nothing of, nothing is known: the answer is a hit for no caller
// that has seen anything of it.
func least(said, asked meridian.Tokens) (ts meridian.Tokens) {
	for _, t := range said {
		a := asked.Of(t.Database)
		if a.IsZero() || a.System != t.System || a.Timeline != t.Timeline || a.LSN > t.LSN {
			a = meridian.Token{Database: t.Database, System: t.System}
		}
		ts = append(ts, a.Bare())
	}
	return ts
}

// newer returns version moved on to what came after it, if anything did.
func newer(version meridian.Tokens, lines []string) meridian.Tokens {
	for _, t := range tokensOf(lines) {
		version, _ = version.Advance(t)
	}
	return version
}

// advanced returns version moved on to more, where that says more.
func advanced(version, more meridian.Tokens) meridian.Tokens {
	for _, t := range more {
		if t.LSN > 0 || version.Of(t.Database).IsZero() {
			version, _ = version.Advance(t)
		}
	}
	return version
}

// late returns the version of a stored answer whose region spoke of databases
// only in the trailer: what it said first may rest on older data than it knew in
// the end, so it is a hit for no caller that has seen anything of them.
func late(version meridian.Tokens, trailer []string) meridian.Tokens {
	for _, t := range tokensOf(trailer) {
		if version.Of(t.Database).IsZero() {
			version = append(version[:len(version):len(version)], meridian.Token{Database: t.Database, System: t.System})
		}
	}
	return version
}
