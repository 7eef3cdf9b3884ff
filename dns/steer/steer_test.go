package steer_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"meridian"
	"meridian/dns/steer"
	"meridian/topology"
)

// TestSteer runs the scripts in testdata/steer. "map" draws the snapshot that
// the questions after it are asked of:
//
//	region NAME [primary] [drained] [down=WHY]
//	edge NAME [down=WHY]
//	link A B MILLISECONDS
//
// "edge" and "region" ask where an asker at from= goes. go test -rewrite writes
// the answers given.
func TestSteer(t *testing.T) {
	datadriven.Walk(t, "testdata/steer", func(t *testing.T, path string) {
		s := &topology.Snapshot{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var from string
			d.MaybeScanArgs(t, "from", &from)
			switch d.Cmd {
			case "map":
				s = draw(t, d.Input)
				return fmt.Sprintf("%d regions, %d edges\n", len(s.Regions), len(s.Edges))
			case "edge":
				c, ok := steer.Edge(s, meridian.Region(from), func(topology.Edge) bool { return true })
				return say(c.To.Name, c.Why, ok)
			case "region":
				c, ok := steer.Region(s, meridian.Region(from))
				return say(c.To.Name, c.Why, ok)
			}
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			return ""
		})
	})
}

func say(name meridian.Region, why string, ok bool) string {
	if !ok {
		return "none\n"
	}
	return fmt.Sprintf("%s: %s\n", name, why)
}

func draw(t *testing.T, text string) *topology.Snapshot {
	s := &topology.Snapshot{}
	for line := range strings.Lines(text) {
		line, why, down := strings.Cut(strings.TrimSpace(line), " down=")
		f := strings.Fields(line)
		has := func(word string) bool { return strings.Contains(line+" ", " "+word+" ") }
		switch f[0] {
		case "region":
			s.Regions = append(s.Regions, topology.Region{Name: meridian.Region(f[1]), Healthy: !down, Why: why, Primary: has("primary"), Drained: has("drained")})
		case "edge":
			s.Edges = append(s.Edges, topology.Edge{Name: meridian.Region(f[1]), Healthy: !down, Why: why})
		case "link":
			ms, err := time.ParseDuration(f[3] + "ms")
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			s.Links = append(s.Links, topology.Link{From: meridian.Region(f[1]), To: meridian.Region(f[2]), RTT: ms})
		default:
			t.Fatalf("%q: unknown line", line)
		}
	}
	return s
}

// FuzzSteer checks guarantee 8 of every map: where there is an edge or a
// region, there is an answer with a reason, and it is the best of the healthy.
func FuzzSteer(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, byte(0))
	f.Fuzz(func(t *testing.T, bits []byte, from byte) {
		s := &topology.Snapshot{}
		for i, b := range bits[:min(len(bits), 40)] {
			name := meridian.Region(fmt.Sprint("r", i))
			s.Regions = append(s.Regions, topology.Region{Name: name, Healthy: b&1 == 0, Drained: b&2 == 0, Primary: b&4 == 0})
			s.Edges = append(s.Edges, topology.Edge{Name: name, Healthy: b&8 == 0})
			s.Links = append(s.Links, topology.Link{From: "r0", To: name, RTT: time.Duration(b) * time.Millisecond})
		}
		place := meridian.Region("")
		if from > 0 {
			place = meridian.Region(fmt.Sprint("r", from-1))
		}
		e, ok1 := steer.Edge(s, place, func(topology.Edge) bool { return true })
		r, ok2 := steer.Region(s, place)
		if want := len(s.Edges) > 0; ok1 != want || ok2 != want {
			t.Fatalf("answers %v, %v of %d places", ok1, ok2, len(s.Edges))
		}
		if !ok1 {
			return
		}
		if e.Why == "" || r.Why == "" {
			t.Error("an answer without a reason")
		}
		for _, door := range s.Doors() {
			if !e.To.Healthy && door.Healthy {
				t.Errorf("sent to %s, which is down, while %s is up", e.To.Name, door.Name)
			}
			near, ok := s.RTT(place, door.Name)
			if got, known := s.RTT(place, e.To.Name); place != "" && ok && (!known || near < got) {
				t.Errorf("sent to %s while %s is nearer", e.To.Name, door.Name)
			}
		}
	})
}

func TestOnlyEdgesThatFitAreChosenHoweverIll(t *testing.T) {
	s := draw(t, "edge a\nedge b down=silent\nlink x a 1\nlink x b 2")
	c, ok := steer.Edge(s, "x", func(e topology.Edge) bool { return e.Name == "b" })
	if !ok || c.To.Name != "b" {
		t.Errorf("Edge = %v, %v; want b, the only one that fits", c, ok)
	}
	if c, ok := steer.Edge(s, "x", func(topology.Edge) bool { return false }); ok {
		t.Errorf("Edge = %v; want none", c)
	}
}

func BenchmarkEdge(b *testing.B) {
	for _, n := range []int{5, 300} {
		s := &topology.Snapshot{}
		for i := range n {
			name := meridian.Region(fmt.Sprint("p", i))
			s.Edges = append(s.Edges, topology.Edge{Name: name, Healthy: true})
			s.Links = append(s.Links, topology.Link{From: "p0", To: name, RTT: time.Duration(n-i) * time.Millisecond})
		}
		b.Run(fmt.Sprintf("edges=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				steer.Edge(s, "p0", func(topology.Edge) bool { return true })
			}
		})
	}
}

// BenchmarkFind looks for askers at no known place, which costs most.
func BenchmarkFind(b *testing.B) {
	for _, n := range []int{5, 60000} {
		var clients []topology.Clients
		for i := range n {
			clients = append(clients, topology.Clients{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(i >> 8), byte(i), 0}), 24), Place: "p"})
		}
		places := steer.NewPlaces(clients)
		b.Run(fmt.Sprintf("networks=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				places.Find(netip.MustParsePrefix("198.255.255.0/24"))
			}
		})
	}
}

func TestScopeCoversAllForWhichTheAnswerHolds(t *testing.T) {
	places := steer.NewPlaces([]topology.Clients{
		{Prefix: netip.MustParsePrefix("198.18.1.0/24"), Place: "one"},
		{Prefix: netip.MustParsePrefix("198.18.2.0/24"), Place: "two"},
		{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Place: "ten"},
		{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Place: "one"},
		{Prefix: netip.MustParsePrefix("2001:db8:5::/48"), Place: "six"},
		{Place: "no prefix at all"},
	})
	for _, tt := range []struct {
		network string
		place   meridian.Region
		scope   int
	}{
		{"198.18.1.0/24", "one", 24},
		{"198.18.1.7/32", "one", 24},
		{"198.18.0.0/16", "", 24},   // 24 bits would tell one from two
		{"198.18.3.0/24", "", 24},   // its /23 holds two
		{"198.19.0.0/24", "", 16},   // its /15 holds one and two
		{"9.9.9.9/32", "", 7},       // its /6 holds ten
		{"100.0.0.0/24", "", 2},     // its /1 holds ten
		{"10.1.2.0/24", "one", 16},  //
		{"10.2.0.0/24", "ten", 15},  // its /14 holds an entry of its own, 10.1/16
		{"10.128.0.0/24", "ten", 9}, // and so does 10/8
		{"10.0.0.0/8", "ten", 16},
		{"2001:db8:5:1::/56", "six", 48},
		{"2001:db8:4::/48", "", 48},
		{"fe80::/64", "", 1},
	} {
		place, scope := places.Find(netip.MustParsePrefix(tt.network))
		if place != tt.place || scope != tt.scope {
			t.Errorf("Find(%s) = %q, %d; want %q, %d", tt.network, place, scope, tt.place, tt.scope)
		}
	}
	if place, scope := steer.NewPlaces(nil).Find(netip.MustParsePrefix("192.0.2.0/24")); place != "" || scope != 0 {
		t.Errorf("with no clients at all: %q, %d", place, scope)
	}
}

// TestTheLengthOfTheMatchAloneWouldConflict is the negative control: with the
// entry's own length as scope, one cached answer covers askers of another place.
func TestTheLengthOfTheMatchAloneWouldConflict(t *testing.T) {
	entry := netip.MustParsePrefix("10.0.0.0/8")
	places := steer.NewPlaces([]topology.Clients{{Prefix: entry, Place: "ten"}, {Prefix: netip.MustParsePrefix("10.1.0.0/16"), Place: "one"}})
	other := netip.MustParsePrefix("10.1.2.0/24")
	place, scope := places.Find(netip.MustParsePrefix("10.2.0.0/24"))
	if elsewhere, _ := places.Find(other); elsewhere == place || !entry.Contains(other.Addr()) {
		t.Fatal("the case shows nothing")
	}
	if netip.PrefixFrom(netip.MustParseAddr("10.2.0.0"), scope).Contains(other.Addr()) {
		t.Errorf("scope %d covers %s, which is elsewhere", scope, other)
	}
}

// FuzzScope checks RFC 7871, section 7.2.1: within the scope of an answer,
// every other network has the same answer.
func FuzzScope(f *testing.F) {
	f.Add([]byte{10, 8, 1, 10, 16, 2}, uint32(0x0a010203), uint32(0x0a020304), byte(24))
	f.Fuzz(func(t *testing.T, entries []byte, asker, other uint32, source byte) {
		var clients []topology.Clients
		for ; len(entries) >= 3 && len(clients) < 50; entries = entries[3:] {
			clients = append(clients, topology.Clients{
				Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, entries[0], 0, 0}), int(entries[1])%33),
				Place:  meridian.Region(fmt.Sprint("p", entries[2])),
			})
		}
		addr := func(v uint32) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(v >> 16), byte(v >> 8), byte(v)}) }
		network := netip.PrefixFrom(addr(asker), int(source)%33)
		places := steer.NewPlaces(clients)
		place, scope := places.Find(network)
		if scope > network.Bits() {
			return // the answer is for the network as a whole, and says that it is too coarse
		}
		within := netip.PrefixFrom(addr(asker), scope).Masked()
		if !within.Contains(addr(other)) {
			return
		}
		if got, _ := places.Find(netip.PrefixFrom(addr(other), 32)); got != place {
			t.Errorf("%s is at %q by the answer for %s scope %d, and at %q when it asks itself", addr(other), place, network, scope, got)
		}
	})
}
