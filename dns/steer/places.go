package steer

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"meridian"
	"meridian/topology"
)

// Places says at which place the callers of a network are. It never changes.
type Places struct{ table bart.Table[meridian.Region] }

// NewPlaces returns the places of a snapshot's clients. Of two that name the
// same network the last counts; one without a valid prefix is passed over.
func NewPlaces(clients []topology.Clients) *Places {
	p := &Places{}
	for _, c := range clients {
		if c.Prefix.IsValid() {
			p.table.Insert(c.Prefix.Masked(), c.Place)
		}
	}
	return p
}

// Find returns the place of a network, by the longest prefix that holds all of
// it, or "".
//
// scope is the length of the shortest prefix around the network for all of
// which the same holds (RFC 7871, section 7.2.1): it reaches into no network
// that has an entry of its own, so no two answers with overlapping scopes
// conflict. If there is such an entry inside the network itself, scope is longer
// than its prefix: that many bits would tell the entry from the rest.
func (p *Places) Find(network netip.Prefix) (place meridian.Region, scope int) {
	network = network.Masked()
	matched, place, ok := p.table.LookupPrefixLPM(network)
	shortest := 0
	if ok {
		shortest = matched.Bits()
	}
	for scope = shortest; scope <= network.Bits(); scope++ {
		around := netip.PrefixFrom(network.Addr(), scope).Masked()
		if p.inside(around, matched) == 0 {
			return place, scope
		}
	}
	return place, p.inside(network, matched)
}

// inside returns the length of an entry inside a network, other than matched,
// or 0. It looks no further than the first.
func (p *Places) inside(network, matched netip.Prefix) int {
	for entry := range p.table.Subnets(network) {
		if entry != matched {
			return entry.Bits()
		}
	}
	return 0
}
