package dns

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dns/steer"
	"meridian/dns/zone"
	"meridian/topology"
)

var resolver = netip.MustParseAddr("198.18.1.53")

// at returns the view of a world.
func at(t testing.TB, snap *topology.Snapshot) *view {
	t.Helper()
	z, err := zone.New("api.example.test", []netip.Addr{netip.MustParseAddr("127.10.0.1")}, 5)
	if err != nil {
		t.Fatal(err)
	}
	return &view{zone: z, snap: snap, places: steer.NewPlaces(snap.Clients), alpn: []string{"h3", "h2"}}
}

// packet writes a question, as change would have it.
func packet(t testing.TB, change func(*dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(domain, dns.TypeA)
	if change != nil {
		change(m)
	}
	out, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// withSubnet puts the data of a Client Subnet option into a question, whatever
// it is.
func withSubnet(data ...byte) func(*dns.Msg) {
	return func(m *dns.Msg) {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: data})
	}
}

func TestStrangeQuestionsGetTheCodeThatTheRFCsWant(t *testing.T) {
	v := at(t, world(nil))
	for _, tt := range []struct {
		name   string
		change func(*dns.Msg)
		want   int
	}{
		{"plain", nil, dns.RcodeSuccess},
		{"NOTIFY", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, dns.RcodeNotImplemented},
		{"UPDATE", func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		{"STATUS", func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus }, dns.RcodeNotImplemented},
		{"no question", func(m *dns.Msg) { m.Question = nil }, dns.RcodeFormatError},
		{"two questions", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.RcodeFormatError},
		{"version.bind", func(m *dns.Msg) {
			m.Question[0] = dns.Question{Name: "version.bind.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}
		}, dns.RcodeRefused},
		{"class ANY", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }, dns.RcodeRefused},
		{"two OPT records", func(m *dns.Msg) { m.SetEdns0(1232, false).SetEdns0(1232, false) }, dns.RcodeFormatError},
		{"OPT below a name", func(m *dns.Msg) { m.SetEdns0(1232, false).Extra[0].Header().Name = "x." }, dns.RcodeFormatError},
		{"unknown option", func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 65001, Data: []byte("x")}}
		}, dns.RcodeSuccess},
		{"subnet", withSubnet(0, 1, 24, 0, 198, 18, 2), dns.RcodeSuccess},
		{"subnet of 20 bits", withSubnet(0, 1, 20, 0, 198, 18, 0), dns.RcodeSuccess},
		{"subnet, opt-out", withSubnet(0, 1, 0, 0), dns.RcodeSuccess},
		{"subnet, opt-out as dig does it", withSubnet(0, 0, 0, 0), dns.RcodeSuccess},
		{"subnet, no data", withSubnet(), dns.RcodeFormatError},
		{"subnet, bits beyond the prefix", withSubnet(0, 1, 20, 0, 198, 18, 2), dns.RcodeFormatError},
		{"subnet, address too short", withSubnet(0, 1, 24, 0, 198, 18), dns.RcodeFormatError},
		{"subnet, address too long", withSubnet(0, 1, 16, 0, 198, 18, 0), dns.RcodeFormatError},
		{"subnet, prefix too long", withSubnet(0, 1, 33, 0, 198, 18, 2, 1, 0), dns.RcodeFormatError},
		{"subnet with a scope", withSubnet(0, 1, 24, 24, 198, 18, 2), dns.RcodeFormatError},
		{"subnet of an unknown family", withSubnet(0, 3, 8, 0, 1), dns.RcodeFormatError},
		{"subnet, opt-out of an unknown family", withSubnet(0, 9, 0, 0), dns.RcodeFormatError},
		{"subnet twice", func(m *dns.Msg) {
			withSubnet(0, 1, 24, 0, 198, 18, 2)(m)
			m.IsEdns0().Option = append(m.IsEdns0().Option, m.IsEdns0().Option[0])
		}, dns.RcodeFormatError},
	} {
		out, done := v.respond(packet(t, tt.change), resolver, true)
		m := new(dns.Msg)
		if err := m.Unpack(out); err != nil || m.Rcode != tt.want || done.rcode != tt.want {
			t.Errorf("%s: %v %s; want %s", tt.name, err, dns.RcodeToString[m.Rcode], dns.RcodeToString[tt.want])
		}
		if m.Rcode != dns.RcodeSuccess && len(m.Answer)+len(m.Ns) > 0 {
			t.Errorf("%s: %s says something beside its code", tt.name, m)
		}
	}
}

func TestWhatIsNoQueryIsNotAnswered(t *testing.T) {
	v := at(t, world(nil))
	for name, p := range map[string][]byte{
		"nothing":     nil,
		"half header": packet(t, nil)[:11],
		"an answer":   packet(t, func(m *dns.Msg) { m.Response = true }),
	} {
		if out, done := v.respond(p, resolver, true); out != nil || !done.dropped {
			t.Errorf("%s: answered with %x", name, out)
		}
	}
	torn := packet(t, nil)
	if out, _ := v.respond(torn[:len(torn)-3], resolver, true); len(out) != 12 || out[3]&0xf != dns.RcodeFormatError {
		t.Errorf("a torn question: %x; want a bare FORMERR", out)
	}
}

// FuzzRespond feeds strangers' bytes to the whole of the server behind its
// sockets. The library is the oracle: it must be able to read every answer.
func FuzzRespond(f *testing.F) {
	f.Add(packet(f, nil), true)
	f.Add(packet(f, withSubnet(0, 1, 24, 0, 198, 18, 2)), true)
	f.Add(packet(f, withSubnet(0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0)), false)
	f.Add(packet(f, func(m *dns.Msg) { m.SetQuestion("_why._REGION."+domain, dns.TypeTXT) }), false)
	f.Add(packet(f, func(m *dns.Msg) { m.SetQuestion("\\000\\.x.origin."+domain, dns.TypeANY) }), true)
	f.Add(packet(f, func(m *dns.Msg) { m.SetAxfr(domain) }), false)
	f.Add(packet(f, func(m *dns.Msg) { m.SetUpdate(domain); m.SetTsig("k.", dns.HmacSHA256, 300, 0) }), true)
	v := at(f, world(nil))
	f.Fuzz(func(t *testing.T, p []byte, udp bool) {
		out, done := v.respond(p, resolver, udp)
		if done.dropped != (out == nil) {
			t.Fatalf("dropped %v, answered %x", done.dropped, out)
		}
		if out == nil {
			return
		}
		m := new(dns.Msg)
		if err := m.Unpack(out); err != nil {
			t.Fatalf("the answer %x cannot be read: %v", out, err)
		}
		if !m.Response || m.Id != binary.BigEndian.Uint16(p) || udp && len(out) > maxDatagram {
			t.Errorf("%d bytes: %s", len(out), m)
		}
		if m.Authoritative && (len(m.Question) != 1 || !dns.IsSubDomain(domain, dns.CanonicalName(m.Question[0].Name))) {
			t.Errorf("spoke for another's zone: %s", m)
		}
		if m.Authoritative && len(m.Answer) == 0 && len(m.Ns) == 0 && !m.Truncated {
			t.Errorf("a denial without SOA: %s", m)
		}
	})
}

func BenchmarkRespond(b *testing.B) {
	v := at(b, world(nil))
	p := packet(b, withSubnet(0, 1, 24, 0, 198, 18, 2))
	b.ReportAllocs()
	for b.Loop() {
		v.respond(p, resolver, true)
	}
}

// dial opens a TCP connection to the server.
func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func TestManyQueriesOnOneConnectionAreAnsweredInOrder(t *testing.T) {
	s, _ := serve(t, nil)
	c := dns.Conn{Conn: dial(t, s)}
	const many = 20
	for i := range many {
		q := new(dns.Msg).SetQuestion(domain, dns.TypeA)
		q.Id = uint16(i)
		if err := c.WriteMsg(q); err != nil {
			t.Fatal(err)
		}
	}
	for i := range many {
		if m, err := c.ReadMsg(); err != nil || m.Id != uint16(i) || len(m.Answer) != 1 {
			t.Fatalf("answer %d: %v, %v", i, m, err)
		}
	}
}

func TestConnectionsAreBoundedInNumberAndIdleTime(t *testing.T) {
	m := &topology.Map{}
	m.Publish(world(nil))
	s, _ := start(t, m, func(c *Config) { c.Connections, c.Idle = 1, time.Hour })
	first := dns.Conn{Conn: dial(t, s)}
	if err := first.WriteMsg(new(dns.Msg).SetQuestion(domain, dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	if _, err := first.ReadMsg(); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, s).Read(make([]byte, 1)); err == nil {
		t.Error("a second connection was kept beside the one that is allowed")
	}

	s, _ = start(t, m, func(c *Config) { c.Idle = time.Millisecond })
	if _, err := dial(t, s).Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection without a query: %v; want it closed", err)
	}
}

func TestOpenConnectionsDoNotKeepTheServerFromEnding(t *testing.T) {
	m := &topology.Map{}
	m.Publish(world(nil))
	var idle net.Conn
	var address string
	t.Run("serve", func(t *testing.T) { // whose end stops the server
		s, _ := start(t, m, func(c *Config) { c.Idle = time.Hour })
		address = s.Addrs()[0].String()
		var err error
		if idle, err = net.Dial("tcp", address); err != nil {
			t.Fatal(err)
		}
		c := dns.Conn{Conn: idle}
		if err := c.WriteMsg(new(dns.Msg).SetQuestion(domain, dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReadMsg(); err != nil {
			t.Fatal(err)
		}
	})
	defer idle.Close()
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the server's end: %v; want the connection closed", err)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

func TestABadConfigIsRefused(t *testing.T) {
	for name, c := range map[string]Config{
		"no address":   {Domain: "api.example.test"},
		"a host name":  {Domain: "api.example.test", Listen: []string{"localhost:53"}},
		"no domain":    {Listen: []string{"127.0.0.1:0"}},
		"a bad domain": {Domain: "a..b", Listen: []string{"127.0.0.1:0"}},
	} {
		if _, err := New(c, Deps{Map: &topology.Map{}}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
