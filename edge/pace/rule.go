package pace

import "time"

// A Rule is how slow a client may be. Without a rate it may be as slow as it likes.
type Rule struct {
	Rate  int64         // bytes a second, of the connection
	Grace time.Duration // for how long a client may owe them
}

// A Debt is the time that a client was waited for and its bytes have not paid.
// The zero Debt is none.
type Debt time.Duration

// After returns a debt after the client was waited for once more, and so many
// bytes passed meanwhile. Nobody saves up: bytes pay for the past alone.
func (r Rule) After(d Debt, waited time.Duration, bytes int64) Debt {
	if r.Rate <= 0 {
		return 0
	}
	paid := float64(bytes) / float64(r.Rate) * float64(time.Second)
	return max(0, d+Debt(waited)-Debt(min(paid, float64(d)+float64(waited))))
}

// Slow reports whether a debt is too large.
func (r Rule) Slow(d Debt) bool { return r.Rate > 0 && d > Debt(r.Grace) }
