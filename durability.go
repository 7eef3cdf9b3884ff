package meridian

import (
	"fmt"
	"strings"
	"time"
)

// A Durability says when a commit is acknowledged. The zero value is
// asynchronous: once the commit is on the primary's own disk.
type Durability struct {
	// Sync names the region whose standby must have the commit on its disk,
	// too. While the region is the primary's itself, any other one must.
	Sync Region
	// Quorum says that a majority of the regions must have the commit on its
	// disk, the primary's counted in.
	Quorum bool
	// RPO is above zero where commits are acknowledged as in asynchronous
	// durability until the oldest of those that no standby has confirmed is
	// older than this; then none is, until one has.
	RPO time.Duration
}

// Durabilities names what ParseDurability takes, for people.
const Durabilities = "async, quorum, sync: REGION or rpo: TIME such as rpo: 250ms"

// ParseDurability reads what String writes. Of rpo the time is anything that
// time.ParseDuration takes above zero.
func ParseDurability(s string) (Durability, error) {
	word, of, more := strings.Cut(strings.TrimSpace(s), ":")
	word, of = strings.TrimSpace(word), strings.TrimSpace(of)
	switch {
	case word == "async" && !more:
		return Durability{}, nil
	case word == "quorum" && !more:
		return Durability{Quorum: true}, nil
	case word == "sync" && of != "" && !strings.ContainsAny(of, " \t\r\n:"):
		return Durability{Sync: Region(of)}, nil
	case word == "rpo":
		if d, err := time.ParseDuration(of); err == nil && d > 0 {
			return Durability{RPO: d}, nil
		}
	}
	return Durability{}, fmt.Errorf("durability %.80q: want %s", s, Durabilities)
}

func (d Durability) String() string {
	switch {
	case d.Sync != "":
		return "sync: " + string(d.Sync)
	case d.Quorum:
		return "quorum"
	case d.RPO > 0:
		return "rpo: " + d.RPO.String()
	}
	return "async"
}

// MarshalText implements encoding.TextMarshaler.
func (d Durability) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Durability) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDurability(string(b))
	return err
}
