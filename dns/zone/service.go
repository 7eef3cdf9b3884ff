package zone

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// defaultPort is that of a URL which names none.
const defaultPort = 443

// PortOf returns the port in a name that begins with _PORT._https, or 0.
func PortOf(name string) uint16 {
	label, rest, _ := strings.Cut(name, ".")
	digits, ok := strings.CutPrefix(label, "_")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil || digits != strconv.FormatUint(n, 10) || !strings.HasPrefix(strings.ToLower(rest), "_https.") {
		return 0
	}
	return uint16(n)
}

// HTTPS returns the HTTPS record (RFC 9460) of an edge: which protocols it
// speaks, the one that is liked best first, at which port, if that is not the
// one that the owner's name stands for, and where, so that a client need not
// ask for addresses too.
func (z *Zone) HTTPS(owner string, alpn []string, edge netip.AddrPort) dns.RR {
	rr := &dns.HTTPS{SVCB: dns.SVCB{Hdr: z.header(owner, dns.TypeHTTPS, z.ttl), Priority: 1, Target: "."}}
	rr.Value = append(rr.Value, &dns.SVCBAlpn{Alpn: alpn})
	own := PortOf(owner)
	if own == 0 {
		own = defaultPort
	} else {
		rr.Target = z.apex
	}
	if edge.Port() != own {
		rr.Value = append(rr.Value, &dns.SVCBPort{Port: edge.Port()})
	}
	if a := edge.Addr().Unmap(); a.Is4() {
		rr.Value = append(rr.Value, &dns.SVCBIPv4Hint{Hint: []net.IP{a.AsSlice()}})
	} else {
		rr.Value = append(rr.Value, &dns.SVCBIPv6Hint{Hint: []net.IP{a.AsSlice()}})
	}
	return rr
}
