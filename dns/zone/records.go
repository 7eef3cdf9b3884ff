package zone

import (
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// SOA returns the zone's SOA record. Its serial is when the map was drawn:
// there is no transfer of this zone that would compare it.
func (z *Zone) SOA(owner string, drawn time.Time) dns.RR {
	return &dns.SOA{
		Hdr: z.header(owner, dns.TypeSOA, staticTTL),
		Ns:  "ns1." + z.apex, Mbox: "hostmaster." + z.apex,
		Serial: uint32(drawn.Unix()), Refresh: 7200, Retry: 900, Expire: 1209600, Minttl: negativeTTL,
	}
}

// Denial returns the SOA record that goes with an answer that something is not
// there: its TTL is how long that may be believed (RFC 2308, section 5).
func (z *Zone) Denial(drawn time.Time) dns.RR {
	soa := z.SOA(z.apex, drawn)
	soa.Header().Ttl = negativeTTL
	return soa
}

// NS returns the zone's NS record and the addresses of the server it names.
func (z *Zone) NS(owner string) (ns dns.RR, glue []dns.RR) {
	host := "ns1." + z.apex
	ns = &dns.NS{Hdr: z.header(owner, dns.TypeNS, staticTTL), Ns: host}
	return ns, append(z.Servers(host, dns.TypeA), z.Servers(host, dns.TypeAAAA)...)
}

// Servers returns the name server's addresses of a type, A or AAAA.
func (z *Zone) Servers(owner string, qtype uint16) (rrs []dns.RR) {
	for _, a := range z.servers {
		rrs = append(rrs, z.address(owner, qtype, a, staticTTL)...)
	}
	return rrs
}

// Address returns the record of type A or AAAA for an address, or none if the
// type is not the address's.
func (z *Zone) Address(owner string, qtype uint16, a netip.Addr) []dns.RR {
	return z.address(owner, qtype, a, z.ttl)
}

func (z *Zone) address(owner string, qtype uint16, a netip.Addr, ttl uint32) []dns.RR {
	switch {
	case !Holds(qtype, a):
		return nil
	case qtype == dns.TypeA:
		return []dns.RR{&dns.A{Hdr: z.header(owner, qtype, ttl), A: a.Unmap().AsSlice()}}
	}
	return []dns.RR{&dns.AAAA{Hdr: z.header(owner, qtype, ttl), AAAA: a.AsSlice()}}
}

// Holds reports whether a record of the type, A or AAAA, can hold the address.
func Holds(qtype uint16, a netip.Addr) bool {
	return a.IsValid() && (qtype == dns.TypeA && a.Unmap().Is4() || qtype == dns.TypeAAAA && !a.Unmap().Is4())
}

// CNAME returns a steered alias.
func (z *Zone) CNAME(owner, target string) dns.RR {
	return &dns.CNAME{Hdr: z.header(owner, dns.TypeCNAME, z.ttl), Target: target}
}

// TXT returns a steered text, in strings of at most 255 bytes.
func (z *Zone) TXT(owner, text string) dns.RR {
	rr := &dns.TXT{Hdr: z.header(owner, dns.TypeTXT, z.ttl)}
	for len(text) > 255 {
		rr.Txt, text = append(rr.Txt, text[:255]), text[255:]
	}
	rr.Txt = append(rr.Txt, text)
	return rr
}

// Any returns the one record that answers a query for all: RFC 8482, section
// 4.2.
func (z *Zone) Any(owner string) dns.RR {
	return &dns.HINFO{Hdr: z.header(owner, dns.TypeHINFO, staticTTL), Cpu: "RFC8482"}
}

func (z *Zone) header(owner string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}
