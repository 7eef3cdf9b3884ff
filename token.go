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

	// Handle names the last write of the caller, as the log does; "" if it wrote
	// nothing, or nothing that has one. Wrote is at or past that write's commit:
	// where the log was when it was acknowledged.
	Handle string
	Wrote  LSN

	Seal string // what a TokenKey makes of all before; "" if none did
}

// IsZero reports whether t says nothing.
func (t Token) IsZero() bool { return t == Token{} }

// String writes the form that travels in Meridian-Consistency and in the
// cookie, in characters that both allow: database:system:timeline:lsn, then
// :wrote:handle if there was a write, then :seal if there is one.
func (t Token) String() string {
	if t.IsZero() {
		return ""
	}
	s := fmt.Sprintf("%s:%x:%x:%x", t.Database, t.System, t.Timeline, uint64(t.LSN))
	if t.Handle != "" {
		s += fmt.Sprintf(":%x:%s", uint64(t.Wrote), t.Handle)
	}
	if t.Seal != "" {
		s += ":" + t.Seal
	}
	return s
}

// maxHandle bounds a handle, in characters.
const maxHandle = 32

// ParseToken reads what String writes. Strangers send these bytes. It does not
// look whether the seal is genuine: TokenKeys does.
func ParseToken(s string) (Token, error) {
	bad := func(want string) (Token, error) {
		return Token{}, fmt.Errorf("consistency token %.80q: want %s", s, want)
	}
	f := strings.Split(s, ":")
	if len(f) < 4 || len(f) > 7 || f[0] == "" || len(f[0]) > 63 {
		return bad("database:system:timeline:lsn, and then a write and a seal if there are any")
	}
	sys, err1 := strconv.ParseUint(f[1], 16, 64)
	tl, err2 := strconv.ParseUint(f[2], 16, 32)
	lsn, err3 := strconv.ParseUint(f[3], 16, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return bad("hexadecimal numbers after the database")
	}
	t := Token{Database: f[0], System: sys, Timeline: uint32(tl), LSN: LSN(lsn)}
	if f = f[4:]; len(f) >= 2 {
		wrote, err := strconv.ParseUint(f[0], 16, 64)
		if err != nil || !isHex(f[1]) || len(f[1]) > maxHandle {
			return bad("a log position and a handle in hexadecimal")
		}
		t.Wrote, t.Handle, f = LSN(wrote), f[1], f[2:]
	}
	if len(f) == 1 {
		if !isHex(f[0]) || len(f[0]) != sealSize {
			return bad(fmt.Sprintf("a seal of %d hexadecimal digits", sealSize))
		}
		t.Seal = f[0]
	}
	return t, nil
}

// isHex reports whether s is made of one or more lower-case hexadecimal digits.
func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

// Bare returns t without its seal.
func (t Token) Bare() Token {
	t.Seal = ""
	return t
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

// Join returns the newer of two positions, with the later of the two last writes
// if both are of one timeline; of different systems it returns u. The seal is
// gone: nobody has sealed that.
func (t Token) Join(u Token) Token {
	out, other := t, u
	if t.IsZero() || !u.IsZero() && (t.System != u.System || u.Newer(t)) {
		out, other = u, t
	}
	out.Seal = ""
	if other.System == out.System && other.Timeline == out.Timeline && other.Handle != "" && other.Wrote > out.Wrote {
		out.Handle, out.Wrote = other.Handle, other.Wrote
	}
	return out
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
func ParseTokens(s string) (Tokens, error) { return TokenKeys(nil).Open(s) }

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
