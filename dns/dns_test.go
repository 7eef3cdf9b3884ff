package dns

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"meridian/topology"
)

func TestEachPlaceGetsItsOwnEdge(t *testing.T) {
	s, _ := serve(t, nil)
	for n := 1; n <= 5; n++ {
		subnet := fmt.Sprintf("198.18.%d.0/24", n)
		for _, network := range []string{"udp", "tcp"} {
			m := ask(t, s, network, domain, dns.TypeA, subnet)
			if got, want := short(m), fmt.Sprintf("127.10.%d.1", n); got != want || !m.Authoritative || m.RecursionAvailable {
				t.Errorf("%s from %s: %s; want %s, authoritative", network, subnet, got, want)
			}
			if ttl := m.Answer[0].Header().Ttl; ttl != 5 {
				t.Errorf("TTL %d; want 5", ttl)
			}
			o := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
			if o.String() != subnet+"/24" || o.Family != 1 {
				t.Errorf("Client Subnet %s; want %s with scope 24", o, subnet)
			}
		}
	}
}

func TestWithoutClientSubnetTheResolverIsTheAsker(t *testing.T) {
	s, _ := serve(t, nil)
	m := ask(t, s, "udp", domain, dns.TypeA, "")
	if got := short(m); got != "127.10.3.1" || m.IsEdns0() != nil {
		t.Errorf("%s, EDNS %v; want the edge of 127.0.0.0/8, and no EDNS", got, m.IsEdns0())
	}
	for _, optOut := range []string{"0.0.0.0/0", "::/0"} {
		m := ask(t, s, "udp", domain, dns.TypeA, optOut)
		if o := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET); short(m) != "127.10.3.1" || o.SourceScope != 0 || o.SourceNetmask != 0 {
			t.Errorf("opted out by %s: %s with %s; want the resolver's edge, scope 0", optOut, short(m), o)
		}
	}
}

func TestAnUnknownAskerGoesToThePrimaryWithoutSpeakingForOthers(t *testing.T) {
	s, _ := serve(t, nil)
	m := ask(t, s, "udp", domain, dns.TypeA, "198.18.9.0/24")
	o := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
	if short(m) != "127.10.1.1" || o.SourceScope != 21 { // 198.18.8.0/21 is the largest without an entry
		t.Errorf("%s with %s; want the primary's edge, scope 21", short(m), o)
	}
	if m := ask(t, s, "udp", domain, dns.TypeA, "2001:db8::/56"); short(m) != "127.10.1.1" || m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET).SourceScope != 0 {
		t.Errorf("IPv6: %s; want the primary's edge, scope 0: there is no IPv6 entry", m)
	}
}

func TestOriginIsAnAliasOfTheNearestRegion(t *testing.T) {
	s, _ := serve(t, nil)
	for subnet, want := range map[string]string{
		"198.18.2.0/24": "eu-west-1.origin.api.example.test. 127.10.2.1",
		"198.18.4.0/24": "us-east-1.origin.api.example.test. 127.10.1.1",
		"198.18.5.0/24": "ap-southeast-1.origin.api.example.test. 127.10.3.1",
	} {
		if got := short(ask(t, s, "udp", "origin."+domain, dns.TypeA, subnet)); got != want {
			t.Errorf("from %s: %s; want %s", subnet, got, want)
		}
		alias, _, _ := strings.Cut(want, " ")
		if got := short(ask(t, s, "udp", "origin."+domain, dns.TypeCNAME, subnet)); got != alias {
			t.Errorf("CNAME from %s: %s; want %s", subnet, got, alias)
		}
		m := ask(t, s, "udp", "origin."+domain, dns.TypeAAAA, subnet)
		if got := short(m); got != alias || len(m.Ns) != 1 {
			t.Errorf("AAAA from %s: %s, authority %v; want the alias, and an SOA that denies the rest", subnet, got, m.Ns)
		}
	}
}

func TestTheRegionsNameStandsAloneAndTheReasonBesideIt(t *testing.T) {
	s, _ := serve(t, nil)
	m := ask(t, s, "udp", "_region."+domain, dns.TypeTXT, "198.18.4.0/24")
	if short(m) != `"us-east-1"` {
		t.Errorf("_region is %s; want only the name", short(m))
	}
	want := "us-east-1 is nearest to sa-east-1, 115.0 ms; next is eu-west-1, 179.0 ms"
	if why, ok := m.Extra[0].(*dns.TXT); !ok || strings.Join(why.Txt, "") != want || why.Hdr.Name != "_why._region."+domain {
		t.Errorf("beside it: %v; want %q", m.Extra, want)
	}
	if m := ask(t, s, "udp", "_why._region."+domain, dns.TypeTXT, "198.18.4.0/24"); short(m) != `"`+want+`"` {
		t.Errorf("_why._region is %s; want %q", short(m), want)
	}
}

func TestWhatIsLostIsNotAnsweredAndComesBack(t *testing.T) {
	s, m := serve(t, nil)
	get := func() string {
		const from = "198.18.2.0/24"
		return short(ask(t, s, "udp", domain, dns.TypeA, from)) + " " + short(ask(t, s, "udp", "_region."+domain, dns.TypeTXT, from))
	}
	before := get()
	m.Publish(world(func(s *topology.Snapshot) { s.Edges[1].Healthy, s.Regions[1].Healthy = false, false }))
	lost := get()
	m.Publish(world(func(s *topology.Snapshot) {
		for i := range s.Edges {
			s.Edges[i].Healthy = false
		}
		for i := range s.Regions {
			s.Regions[i].Healthy = false
		}
	}))
	allLost := get()
	m.Publish(world(func(s *topology.Snapshot) { s.Regions[1].Drained = true }))
	drained := get()
	got := []string{before, lost, allLost, drained}
	want := []string{`127.10.2.1 "eu-west-1"`, `127.10.1.1 "us-east-1"`, `127.10.2.1 "eu-west-1"`, `127.10.2.1 "us-east-1"`}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("before, lost, all lost, drained:\n got %q\nwant %q", got, want)
	}
}

// TestAnEmptyMapIsNoDenial: a resolver would remember "no data" and "no such
// name" for a minute, and "server failure" hardly at all.
func TestAnEmptyMapIsNoDenial(t *testing.T) {
	s, _ := start(t, &topology.Map{}, nil)
	for name, qtype := range map[string]uint16{
		domain: dns.TypeA, "origin." + domain: dns.TypeCNAME, "_region." + domain: dns.TypeTXT, "_why._region." + domain: dns.TypeTXT,
	} {
		if m := ask(t, s, "udp", name, qtype, ""); m.Rcode != dns.RcodeServerFailure || len(m.Ns) != 0 {
			t.Errorf("%s %s: %s; want SERVFAIL", name, dns.TypeToString[qtype], m)
		}
	}
	if m := ask(t, s, "udp", domain, dns.TypeSOA, ""); len(m.Answer) != 1 {
		t.Errorf("SOA without a map: %v", m)
	}
}

func TestIPv6AskersGetIPv6Edges(t *testing.T) {
	s, _ := serve(t, func(s *topology.Snapshot) {
		s.Edges[3].HTTPS = netip.MustParseAddrPort("[2001:db8::4]:8443")
		s.Edges[3].Healthy = false
	})
	if got := short(ask(t, s, "udp", domain, dns.TypeAAAA, "198.18.2.0/24")); got != "2001:db8::4" {
		t.Errorf("AAAA: %q; want the only edge that has such an address, though it looks ill", got)
	}
	if got := short(ask(t, s, "udp", domain, dns.TypeA, "198.18.4.0/24")); got != "127.10.1.1" {
		t.Errorf("A: %q; want the nearest edge that has such an address", got)
	}
}

// TestTheZone asks for everything that is the same for all askers.
func TestTheZone(t *testing.T) {
	s, _ := serve(t, nil)
	const soa = "ns1.api.example.test. hostmaster.api.example.test. 1700000000 7200 900 1209600 60"
	for _, tt := range []struct {
		name      string
		qtype     uint16
		want      string
		authority bool // the SOA that goes with a denial
	}{
		{domain, dns.TypeSOA, "NOERROR " + soa, false},
		{domain, dns.TypeNS, "NOERROR ns1.api.example.test.", false},
		{domain, dns.TypeAAAA, "NOERROR ", true},
		{domain, dns.TypeMX, "NOERROR ", true},
		{domain, dns.TypeTXT, "NOERROR ", true},
		{domain, dns.TypeANY, `NOERROR "RFC8482" ""`, false},
		{"ns1." + domain, dns.TypeA, "NOERROR 127.0.0.1", false},
		{"ns1." + domain, dns.TypeAAAA, "NOERROR ", true},
		{"eu-west-1.origin." + domain, dns.TypeA, "NOERROR 127.10.2.1", false},
		{"eu-west-1.origin." + domain, dns.TypeTXT, "NOERROR ", true},
		{"EU-west-1.ORIGIN." + domain, dns.TypeA, "NOERROR 127.10.2.1", false},
		{"_region." + domain, dns.TypeA, "NOERROR ", true},
		{"nowhere.origin." + domain, dns.TypeA, "NXDOMAIN ", true},
		{"sa-east-1.origin." + domain, dns.TypeA, "NXDOMAIN ", true}, // an edge, and no region
		{"www." + domain, dns.TypeA, "NXDOMAIN ", true},
		{"a.ns1." + domain, dns.TypeANY, "NXDOMAIN ", true},
		{"_why." + domain, dns.TypeTXT, "NXDOMAIN ", true},
		{"example.com.", dns.TypeA, "REFUSED ", false},
		{"example.test.", dns.TypeA, "REFUSED ", false},
		{"xapi.example.test.", dns.TypeA, "REFUSED ", false},
		{".", dns.TypeNS, "REFUSED ", false},
		{domain, dns.TypeAXFR, "REFUSED ", false},
		{domain, dns.TypeIXFR, "REFUSED ", false},
		{domain, dns.TypeMAILB, "NOTIMP ", false},
		{domain, dns.TypeTSIG, "FORMERR ", false},
	} {
		m := ask(t, s, "udp", tt.name, tt.qtype, "198.18.2.0/24")
		got := dns.RcodeToString[m.Rcode] + " " + short(m)
		if denied := len(m.Ns) == 1 && strings.HasSuffix(m.Ns[0].String(), soa) && m.Ns[0].Header().Ttl == 60; got != tt.want || denied != tt.authority {
			t.Errorf("%s %s: %s, authority %v; want %s, a denial: %v", tt.name, dns.TypeToString[tt.qtype], got, m.Ns, tt.want, tt.authority)
		}
		if m.Authoritative != (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
			t.Errorf("%s: authoritative is %v with %s", tt.name, m.Authoritative, dns.RcodeToString[m.Rcode])
		}
		if o := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET); o.SourceScope != 0 {
			t.Errorf("%s %s: scope %d of an answer that is the same for all", tt.name, dns.TypeToString[tt.qtype], o.SourceScope)
		}
	}
	if m := ask(t, s, "udp", domain, dns.TypeNS, ""); len(m.Extra) != 1 || m.Extra[0].(*dns.A).A.String() != "127.0.0.1" {
		t.Errorf("glue: %v; want the server's own address", m.Extra)
	}
}

func TestNamesAreEchoedInTheCaseOfTheQuestion(t *testing.T) {
	s, _ := serve(t, nil)
	for name, qtype := range map[string]uint16{
		"aPi.ExAmPlE.tEsT.": dns.TypeA, "API.example.TEST.": dns.TypeSOA, "Origin.api.example.test.": dns.TypeCNAME, "_REGION.api.example.test.": dns.TypeTXT,
	} {
		m := ask(t, s, "udp", name, qtype, "")
		if m.Question[0].Name != name || len(m.Answer) != 1 || m.Answer[0].Header().Name != name {
			t.Errorf("%s came back as %s, owner %v", name, m.Question[0].Name, m.Answer)
		}
	}
}

func TestAnAnswerTooLongForADatagramComesOverTCP(t *testing.T) {
	s, _ := serve(t, func(s *topology.Snapshot) {
		s.Regions[1].Healthy, s.Regions[1].Why = false, strings.Repeat("very ", 400)+"ill"
	})
	name := "_why._region." + domain
	for _, size := range []uint16{0, 512, 4096} {
		q := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
		q.SetEdns0(size, true)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(198, 18, 2, 0)}}
		m := exchange(t, s, "udp", q)
		if !m.Truncated || m.Len() > 1232 || m.IsEdns0().UDPSize() != 1232 || !m.IsEdns0().Do() {
			t.Errorf("size %d: truncated %v, %d bytes, %s", size, m.Truncated, m.Len(), m.IsEdns0())
		}
		if m := exchange(t, s, "tcp", q); m.Truncated || !strings.Contains(strings.Join(m.Answer[0].(*dns.TXT).Txt, ""), "very ill") {
			t.Errorf("over TCP: %s", m)
		}
	}
}

func TestALaterVersionOfEDNSIsRefused(t *testing.T) {
	s, _ := serve(t, nil)
	q := new(dns.Msg).SetQuestion(domain, dns.TypeA)
	q.SetEdns0(1232, false)
	q.IsEdns0().SetVersion(1)
	m := exchange(t, s, "udp", q)
	if m.Rcode != dns.RcodeBadVers || m.IsEdns0().Version() != 0 || len(m.Answer) != 0 {
		t.Errorf("%s; want BADVERS, and the version that we speak", m)
	}
}

func TestAnswersAreCountedAndWhatIsNoQueryIsDropped(t *testing.T) {
	m := &topology.Map{}
	m.Publish(world(nil))
	s, reg := start(t, m, nil)
	ask(t, s, "udp", domain, dns.TypeA, "198.18.2.0/24")
	ask(t, s, "tcp", "origin."+domain, dns.TypeA, "198.18.2.0/24")
	ask(t, s, "tcp", "nowhere."+domain, dns.TypeSRV, "")
	s.reply([]byte("short"), netip.MustParseAddr("192.0.2.1"), true)
	const want = `
# HELP meridian_dns_dropped_total Packets that were not answered: too short, or answers themselves.
# TYPE meridian_dns_dropped_total counter
meridian_dns_dropped_total 1
# HELP meridian_dns_edge_answers_total Answers that send an asker to an edge.
# TYPE meridian_dns_edge_answers_total counter
meridian_dns_edge_answers_total{edge="eu-west-1"} 1
# HELP meridian_dns_queries_total Queries answered, by transport, type and response code.
# TYPE meridian_dns_queries_total counter
meridian_dns_queries_total{rcode="NOERROR",transport="tcp",type="A"} 1
meridian_dns_queries_total{rcode="NOERROR",transport="udp",type="A"} 1
meridian_dns_queries_total{rcode="NXDOMAIN",transport="tcp",type="other"} 1
# HELP meridian_dns_region_answers_total Answers that send an asker to a region.
# TYPE meridian_dns_region_answers_total counter
meridian_dns_region_answers_total{region="eu-west-1"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "meridian_dns_dropped_total", "meridian_dns_edge_answers_total", "meridian_dns_queries_total", "meridian_dns_region_answers_total"); err != nil {
		t.Error(err)
	}
}
