package framing

import "time"

// A Kind is a sort of frame, or of misbehaviour, that costs a client nothing
// and the edge something.
type Kind string

// The kinds. They are labels of a metric.
const (
	Resets    Kind = "resets"    // RST_STREAM: rapid reset (CVE-2023-44487), and what makes the server send one (CVE-2025-8671)
	Pings     Kind = "pings"     // PING
	Settings  Kind = "settings"  // SETTINGS
	Empties   Kind = "empties"   // DATA that carries nothing, or padding alone, and ends nothing
	Windows   Kind = "windows"   // WINDOW_UPDATE
	Others    Kind = "others"    // PRIORITY and frames of unknown types
	Headers   Kind = "headers"   // a block of headers that does not end (CVE-2024-27316), or is far larger unpacked
	Slow      Kind = "slow"      // a head, a chunk or a body that does not come, or a response that is not taken
	Malformed Kind = "malformed" // a message that can be read in two ways
)

// An Allowance is how many frames of a kind a client may send: so many at once,
// and so many a second ever after.
type Allowance struct{ Burst, PerSecond float64 }

// allowances are far above what browsers and gRPC clients send, and far below
// what hurts. Window updates are also paid for by what is sent to the client,
// and pings by the frames of DATA in it.
var allowances = map[Kind]Allowance{
	Resets:   {500, 100},
	Pings:    {100, 20},
	Settings: {20, 1},
	Empties:  {100, 20},
	Windows:  {2000, 200},
	Others:   {1000, 200},
}

// Allowance is what a client has of a kind; of one that is never allowed, nothing.
func (k Kind) Allowance() Allowance { return allowances[k] }

// A Budget is what is left of an allowance.
type Budget struct {
	left float64
	at   time.Time
}

// Spend takes one frame off the budget at a time, and reports whether there was
// one left.
func (b *Budget) Spend(a Allowance, now time.Time) bool {
	if b.at.IsZero() {
		b.left = a.Burst
	} else {
		b.left = min(a.Burst, b.left+now.Sub(b.at).Seconds()*a.PerSecond)
	}
	b.at = now
	b.left--
	return b.left >= 0
}

// Earn gives n frames back, so that Spend does not count them.
func (b *Budget) Earn(n float64) { b.left += n }
