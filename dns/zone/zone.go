// Package zone knows which names the domain's zone has, and writes their
// records. It is pure; where a steered name points is decided by package steer.
//
// The names are, below the domain D:
//
//	D                     SOA, NS, and the address of the nearest edge; HTTPS: how to speak to it
//	_PORT._https.D        HTTPS: the same edge, for who names a port (RFC 9460, section 2.3)
//	ns1.D                 the name server itself
//	origin.D              CNAME of the nearest region's name
//	REGION.origin.D       the address of that region's gateway
//	_region.D             TXT: the name of the nearest region
//	_why._region.D        TXT: why that one
//	_acme-challenge.D     TXT: what a certificate authority asks for, while it does; and below origin.D
package zone

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"meridian"
	"meridian/topology"
)

// A Role is what a name is for.
type Role int

// The roles. Names of which the zone has only longer ones are Between: they
// exist, and have no records (RFC 8020).
const (
	Outside Role = iota // not in the zone
	Missing             // in the zone, and there is no such name
	Between
	Apex
	AtPort // the domain for who names a port in a URL
	NameServer
	Origin
	Gateway // of one region
	Nearest
	Why
	Challenge // of a certificate authority (RFC 8555, section 8.4)
)

// A Zone is the names below one domain.
type Zone struct {
	apex    string // lower case, with the final dot
	servers []netip.Addr
	ttl     uint32 // of steered records, in seconds
}

// staticTTL is the TTL of what no failure changes, in seconds, and
// negativeTTL that of the fact that something is not there (RFC 2308).
const (
	staticTTL   = 300
	negativeTTL = 60
)

// New returns the zone of a domain. Its name server has the addresses servers;
// ttl is for records that depend on who asks and what is healthy.
func New(domain string, servers []netip.Addr, ttl uint32) (*Zone, error) {
	if _, ok := dns.IsDomainName(domain); !ok || strings.Trim(domain, ".") == "" {
		return nil, fmt.Errorf("%.80q is no domain name", domain)
	}
	apex := dns.CanonicalName(domain)
	if len("_acme-challenge.origin."+apex) > 255 {
		return nil, fmt.Errorf("%.80q is too long to have names below it", domain)
	}
	return &Zone{apex: apex, servers: servers, ttl: ttl}, nil
}

// Apex returns the zone's own name, in lower case and with the final dot.
func (z *Zone) Apex() string { return z.apex }

// Of returns the name of a region's gateway.
func (z *Zone) Of(r meridian.Region) string {
	return strings.ToLower(string(r)) + ".origin." + z.apex
}

// Find returns what a name is for, in any case of letters, and for Gateway the
// region.
func (z *Zone) Find(name string, regions []topology.Region) (Role, topology.Region) {
	name = dns.CanonicalName(name)
	if !dns.IsSubDomain(z.apex, name) {
		return Outside, topology.Region{}
	}
	switch label := strings.TrimSuffix(strings.TrimSuffix(name, z.apex), "."); label {
	case "":
		return Apex, topology.Region{}
	case "_https":
		return Between, topology.Region{}
	case "ns1":
		return NameServer, topology.Region{}
	case "origin":
		return Origin, topology.Region{}
	case "_region":
		return Nearest, topology.Region{}
	case "_why._region":
		return Why, topology.Region{}
	case "_acme-challenge", "_acme-challenge.origin":
		return Challenge, topology.Region{}
	}
	if n := PortOf(name); n != 0 && name == fmt.Sprintf("_%d._https.%s", n, z.apex) {
		return AtPort, topology.Region{}
	}
	role := Missing
	for _, r := range regions {
		switch gateway := z.Of(r.Name); {
		case gateway == name:
			return Gateway, r
		case dns.IsSubDomain(name, gateway):
			role = Between // a region's name with a dot in it
		}
	}
	return role, topology.Region{}
}
