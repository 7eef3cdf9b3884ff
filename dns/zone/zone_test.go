package zone_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian"
	"meridian/dns/zone"
	"meridian/topology"
)

func TestEachNameHasItsRole(t *testing.T) {
	z, err := zone.New("API.example.test", nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	regions := []topology.Region{{Name: "eu-west-1"}, {Name: "lab.Basel"}}
	for _, tt := range []struct {
		name   string
		role   zone.Role
		region meridian.Region
	}{
		{"api.example.test.", zone.Apex, ""},
		{"Api.Example.Test.", zone.Apex, ""},
		{"ns1.api.example.test.", zone.NameServer, ""},
		{"_8443._https.api.example.test.", zone.AtPort, ""},
		{"_8443._HTTPS.api.example.test.", zone.AtPort, ""},
		{"_https.api.example.test.", zone.Between, ""},
		{"_08443._https.api.example.test.", zone.Missing, ""},
		{"_65536._https.api.example.test.", zone.Missing, ""},
		{"_8443._https.origin.api.example.test.", zone.Missing, ""},
		{"origin.api.example.test.", zone.Origin, ""},
		{"_region.api.example.test.", zone.Nearest, ""},
		{"_why._region.api.example.test.", zone.Why, ""},
		{"eu-west-1.origin.api.example.test.", zone.Gateway, "eu-west-1"},
		{"lab.basel.origin.api.example.test.", zone.Gateway, "lab.Basel"},
		{"basel.origin.api.example.test.", zone.Between, ""},
		{"x.eu-west-1.origin.api.example.test.", zone.Missing, ""},
		{"us-east-1.origin.api.example.test.", zone.Missing, ""},
		{"ns1\\.api.example.test.", zone.Outside, ""},
		{"example.test.", zone.Outside, ""},
		{"notapi.example.test.", zone.Outside, ""},
		{".", zone.Outside, ""},
	} {
		if role, r := z.Find(tt.name, regions); role != tt.role || r.Name != tt.region {
			t.Errorf("Find(%s) = %d %q; want %d %q", tt.name, role, r.Name, tt.role, tt.region)
		}
	}
}

func TestALongReasonIsCutIntoStringsThatFit(t *testing.T) {
	z, err := zone.New("api.example.test", nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("a reason ", 100)
	rr := z.TXT("_why._region.api.example.test.", text).(*dns.TXT)
	if got := strings.Join(rr.Txt, ""); got != text {
		t.Errorf("%d bytes came out of %d", len(got), len(text))
	}
	if _, err := dns.PackRR(rr, make([]byte, 4096), 0, nil, false); err != nil {
		t.Error(err)
	}
}

func TestAnAddressStandsOnlyInARecordOfItsType(t *testing.T) {
	z, err := zone.New("api.example.test", nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	for address, qtype := range map[string]uint16{"192.0.2.1": dns.TypeA, "::ffff:192.0.2.1": dns.TypeA, "2001:db8::1": dns.TypeAAAA} {
		a := netip.MustParseAddr(address)
		for _, q := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if rrs := z.Address("x.", q, a); (len(rrs) == 1) != (q == qtype) {
				t.Errorf("%s of %s: %v", dns.TypeToString[q], address, rrs)
			}
		}
	}
	if rrs := z.Address("x.", dns.TypeA, netip.Addr{}); rrs != nil {
		t.Errorf("no address: %v", rrs)
	}
}
