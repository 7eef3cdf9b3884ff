package meridian

import (
	"fmt"
	"strconv"
	"strings"
)

// An LSN is a position in PostgreSQL's write-ahead log, in bytes.
type LSN uint64

// String writes an LSN as PostgreSQL does: 16/B374D848.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// ParseLSN reads what String and PostgreSQL's pg_lsn write.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	h, err1 := strconv.ParseUint(hi, 16, 32)
	l, err2 := strconv.ParseUint(lo, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("log position %q: want two hexadecimal numbers such as 16/B374D848", s)
	}
	return LSN(h<<32 | l), nil
}

// A Token is a position in one database's history. A caller that presents it
// is never shown an older state of that database (guarantee 1).
type Token struct {
	Database string // as named in the config
	System   uint64 // PostgreSQL's system identifier
	Timeline uint32 // counts promotions
	LSN      LSN
}

// IsZero reports whether t says nothing.
func (t Token) IsZero() bool { return t == Token{} }

// String writes the form that travels in Meridian-Consistency and in the
// cookie: database:system:timeline:lsn, in characters that both allow.
func (t Token) String() string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s:%x:%x:%x", t.Database, t.System, t.Timeline, uint64(t.LSN))
}

// ParseToken reads what String writes. Strangers send these bytes.
func ParseToken(s string) (Token, error) {
	f := strings.Split(s, ":")
	if len(f) != 4 || f[0] == "" || len(f[0]) > 63 {
		return Token{}, fmt.Errorf("consistency token %.80q: want database:system:timeline:lsn", s)
	}
	sys, err1 := strconv.ParseUint(f[1], 16, 64)
	tl, err2 := strconv.ParseUint(f[2], 16, 32)
	lsn, err3 := strconv.ParseUint(f[3], 16, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return Token{}, fmt.Errorf("consistency token %.80q: want hexadecimal numbers after the database", s)
	}
	return Token{Database: f[0], System: sys, Timeline: uint32(tl), LSN: LSN(lsn)}, nil
}

// Newer reports whether t is of the same history as u and ahead of it, or u
// says nothing. A later timeline is ahead whatever its position.
func (t Token) Newer(u Token) bool {
	switch {
	case t.IsZero():
		return false
	case u.IsZero():
		return true
	case t.Database != u.Database || t.System != u.System:
		return false
	case t.Timeline != u.Timeline:
		return t.Timeline > u.Timeline
	}
	return t.LSN > u.LSN
}

// Tokens is a set of tokens with at most one for each database. It travels as
// its tokens joined by commas.
type Tokens []Token

// String joins the tokens by commas.
func (ts Tokens) String() string {
	parts := make([]string, len(ts))
	for i, t := range ts {
		parts[i] = t.String()
	}
	return strings.Join(parts, ",")
}

// ParseTokens reads what Tokens.String writes. It keeps the tokens that it can
// read, the newest for each database, and reports the first that it cannot.
func ParseTokens(s string) (ts Tokens, err error) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		t, e := ParseToken(part)
		if e != nil {
			if err == nil {
				err = e
			}
			continue
		}
		ts, _ = ts.Advance(t)
	}
	return ts, err
}

// Advance returns ts with t in it, where t is newer than what stands there,
// and whether it was. A token of another system replaces the older history's:
// the database was made anew.
func (ts Tokens) Advance(t Token) (Tokens, bool) {
	if t.IsZero() {
		return ts, false
	}
	for i, old := range ts {
		if old.Database != t.Database {
			continue
		}
		if old.System == t.System && !t.Newer(old) {
			return ts, false
		}
		out := append(Tokens(nil), ts...)
		out[i] = t
		return out, true
	}
	return append(append(Tokens(nil), ts...), t), true
}

// Of returns the token of a database, or the zero Token.
func (ts Tokens) Of(database string) Token {
	for _, t := range ts {
		if t.Database == database {
			return t
		}
	}
	return Token{}
}
