package server

import (
	"fmt"
	"time"

	"meridian"
	"meridian/config"
	"meridian/postgres/failover"
)

// clockText writes a moment by this node's clock as the others are told it.
func clockText(m failover.Mark) string { return fmt.Sprintf("%s %d", m.Boot, int64(m.At)) }

// readClock reads it, and reports whether it is one.
func readClock(s string) (m failover.Mark, ok bool) {
	var at int64
	n, err := fmt.Sscanf(s, "%s %d", &m.Boot, &at)
	m.At = time.Duration(at)
	return m, err == nil && n == 2 && at > 0
}

// clocks returns what is known of the clocks of all who count how long a
// renewal holds: the other regions, and the witness.
func (n *node) clocks() map[meridian.Region]failover.Sighting {
	out := map[meridian.Region]failover.Sighting{}
	verdicts := n.prober.Verdicts()
	for _, o := range n.world().Nodes {
		if o.Name == n.self.Name || !o.Has(config.RoleRegion) && !o.Has(config.RoleWitness) {
			continue
		}
		v := verdicts[o.Name]
		if m, ok := readClock(v.Facts[factClock]); ok {
			out[o.Region] = failover.Sighting{Mark: m, Asked: v.Asked}
		}
	}
	return out
}
