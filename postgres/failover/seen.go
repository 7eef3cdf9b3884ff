package failover

import (
	"time"

	"meridian"
)

// Fresh is how old what a holder knows of another region's clock may be, to
// stand in a renewal: its own right is as much shorter.
const Fresh = 1500 * time.Millisecond

// A Sighting is what a holder knows of another region's clock.
type Sighting struct {
	Mark  Mark          // by the other's clock, which it told when it was asked
	Asked time.Duration // by the holder's own
}

// Seen returns the marks of other regions that a renewal which is sent now
// carries, and from when the right that it gives counts, by the holder's clock.
//
// A renewal may be known long after it was sent, as where the store elected
// another leader meanwhile. Who finds its own mark in it counts from that, and
// not from the receipt: the holder's right counts from when it had asked for the
// mark, which was earlier. Who is not heard of lately is left out, and counts
// from the receipt.
//
// ok is false if none of several others is heard any more, though one was: such
// a renewal could reach nobody from whom the holder would hear of it.
func Seen(heard map[meridian.Region]Sighting, now time.Duration) (seen map[meridian.Region]Mark, from time.Duration, ok bool) {
	from = now
	for r, s := range heard {
		if now-s.Asked > Fresh {
			continue
		}
		if seen == nil {
			seen = map[meridian.Region]Mark{}
		}
		seen[r], from = s.Mark, min(from, s.Asked)
	}
	return seen, from, len(seen) > 0 || len(heard) < 2
}
