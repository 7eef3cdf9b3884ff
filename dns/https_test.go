package dns

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"meridian/topology"
)

// RFC 9460: a client learns from one record that HTTP/3 is spoken, and where.
func TestHTTPSRecordsSayHowTheNearestEdgeIsSpokenTo(t *testing.T) {
	s, m := serve(t, nil)
	const hint = " ipv4hint=\"127.10.2.1\""
	for _, tt := range []struct{ name, want string }{
		{domain, `1 . alpn="h3,h2" port="8443"` + hint},
		{"_8443._https." + domain, `1 api.example.test. alpn="h3,h2"` + hint},
		{"_8444._https." + domain, ""}, // where no edge listens
		{"origin." + domain, "eu-west-1.origin.api.example.test."},
	} {
		for _, network := range []string{"udp", "tcp"} {
			msg := ask(t, s, network, tt.name, dns.TypeHTTPS, "198.18.2.0/24")
			if got := short(msg); got != tt.want || msg.Rcode != dns.RcodeSuccess {
				t.Errorf("%s: %s; want %s", tt.name, got, tt.want)
			}
			if len(msg.Answer) == 0 && len(msg.Ns) != 1 {
				t.Errorf("%s: nothing, and no SOA: %s", tt.name, msg)
			}
		}
	}
	msg := ask(t, s, "udp", "_8443._https."+domain, dns.TypeHTTPS, "198.18.2.0/24")
	if a, ok := msg.Extra[0].(*dns.A); !ok || a.Hdr.Name != domain || a.A.String() != "127.10.2.1" {
		t.Errorf("no address goes with it: %v", msg.Extra)
	}
	if o := msg.IsEdns0().Option[0].(*dns.EDNS0_SUBNET); o.SourceScope != 24 {
		t.Errorf("scope %d, want 24: the record is for these askers alone", o.SourceScope)
	}
	m.Publish(world(func(s *topology.Snapshot) { s.Edges[1].Healthy = false }))
	if got := short(ask(t, s, "udp", domain, dns.TypeHTTPS, "198.18.2.0/24")); got != `1 . alpn="h3,h2" port="8443" ipv4hint="127.10.1.1"` {
		t.Errorf("the nearest edge is lost: %s", got)
	}
	m.Publish(world(func(s *topology.Snapshot) {
		for i := range s.Edges {
			s.Edges[i].HTTPS = netip.MustParseAddrPort("[2001:db8::1]:443")
		}
	}))
	if got := short(ask(t, s, "udp", domain, dns.TypeHTTPS, "")); got != `1 . alpn="h3,h2" ipv6hint="2001:db8::1"` {
		t.Errorf("IPv6, at the port of https: %s", got)
	}
}

func TestHTTPSRecordsDoNotPromiseHTTP3ThatIsOff(t *testing.T) {
	m := &topology.Map{}
	m.Publish(world(nil))
	s, _ := start(t, m, func(c *Config) { c.ALPN = []string{"h2"} })
	if got := short(ask(t, s, "udp", domain, dns.TypeHTTPS, "198.18.2.0/24")); got != `1 . alpn="h2" port="8443" ipv4hint="127.10.2.1"` {
		t.Error(got)
	}
}
