package dns

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"meridian"
	"meridian/topology"
)

const domain = "api.example.test."

// world draws three regions and five edges, as an up world has them. Callers of
// place N come from 198.18.N.0/24, and 127.0.0.1 counts as a caller of place 3.
func world(change func(*topology.Snapshot)) *topology.Snapshot {
	s := &topology.Snapshot{At: time.Unix(1700000000, 0)}
	for i, name := range []meridian.Region{"us-east-1", "eu-west-1", "ap-southeast-1", "sa-east-1", "ap-southeast-2"} {
		addr := netip.AddrFrom4([4]byte{127, 10, byte(i + 1), 1})
		if i < 3 {
			s.Regions = append(s.Regions, topology.Region{Name: name, Primary: i == 0, Healthy: true, Gateway: netip.AddrPortFrom(addr, 9443)})
		}
		s.Edges = append(s.Edges, topology.Edge{Name: name, Healthy: true, HTTPS: netip.AddrPortFrom(addr, 8443)})
		s.Clients = append(s.Clients, topology.Clients{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i + 1), 0}), 24), Place: name})
	}
	s.Clients = append(s.Clients, topology.Clients{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Place: "ap-southeast-1"})
	for link, ms := range map[[2]int]int{
		{0, 1}: 70, {0, 2}: 219, {0, 3}: 115, {0, 4}: 198, {1, 2}: 182, {1, 3}: 179, {1, 4}: 257, {2, 3}: 329, {2, 4}: 94, {3, 4}: 313,
	} {
		s.Links = append(s.Links, topology.Link{From: s.Edges[link[0]].Name, To: s.Edges[link[1]].Name, RTT: time.Duration(ms) * time.Millisecond})
	}
	if change != nil {
		change(s)
	}
	return s
}

// start runs a name server until the test ends.
func start(t testing.TB, m *topology.Map, change func(*Config)) (*Server, prometheus.Gatherer) {
	t.Helper()
	reg := prometheus.NewRegistry()
	c := Config{Domain: "api.example.test", Listen: []string{"127.0.0.1:0"}}
	if change != nil {
		change(&c)
	}
	s, err := New(c, Deps{Map: m, Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return s, reg
}

func serve(t testing.TB, change func(*topology.Snapshot)) (*Server, *topology.Map) {
	m := &topology.Map{}
	m.Publish(world(change))
	s, _ := start(t, m, nil)
	return s, m
}

// ask sends a question over a real socket.
func ask(t testing.TB, s *Server, network, name string, qtype uint16, subnet string) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, qtype)
	if subnet != "" {
		p := netip.MustParsePrefix(subnet)
		family := uint16(1)
		if p.Addr().Is6() {
			family = 2
		}
		q.SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()}}
	}
	return exchange(t, s, network, q)
}

func exchange(t testing.TB, s *Server, network string, q *dns.Msg) *dns.Msg {
	t.Helper()
	m, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(q, s.Addrs()[0].String())
	if err != nil {
		t.Fatalf("%s %v: %v", network, q.Question, err)
	}
	return m
}

// short writes the answer section as dig +short does.
func short(m *dns.Msg) string {
	var out []string
	for _, rr := range m.Answer {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(out, " ")
}
