package dns

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"
)

// A subnet is the Client Subnet option of a query: RFC 7871, section 6.
type subnet struct {
	family uint16
	source uint8
	prefix netip.Prefix // invalid if the resolver opted out: source 0
}

// errSubnet: "a query with a wrongly formatted option must be answered with
// FORMERR". The option is read from the bytes themselves, since the library
// fills up an address that is too short and takes no notice of one too long.
var errSubnet = errors.New("the Client Subnet option is malformed")

// readSubnet reads the option's data.
func readSubnet(data []byte) (*subnet, error) {
	if len(data) < 4 {
		return nil, errSubnet
	}
	s := &subnet{family: binary.BigEndian.Uint16(data), source: data[2]}
	scope, address := data[3], data[4:]
	bits := map[uint16]int{1: 32, 2: 128}[s.family]
	switch {
	case scope != 0, int(s.source) > bits, len(address) != (int(s.source)+7)/8:
		return nil, errSubnet
	case s.source == 0:
		// Family 0 is what dig sends with +subnet=0.
		if s.family > 2 {
			return nil, errSubnet
		}
		return s, nil
	}
	full := make([]byte, bits/8)
	copy(full, address)
	addr, _ := netip.AddrFromSlice(full)
	s.prefix = netip.PrefixFrom(addr, int(s.source))
	if s.prefix != s.prefix.Masked() {
		return nil, errSubnet
	}
	return s, nil
}

// echo returns the option of the answer: all as asked, and the scope. Without
// an address there is nothing that a scope could be of (section 7.1.2).
func (s *subnet) echo(scope int) dns.EDNS0 {
	o := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: s.family, SourceNetmask: s.source, Address: netip.IPv4Unspecified().AsSlice()}
	if s.family == 2 {
		o.Address = netip.IPv6Unspecified().AsSlice()
	}
	if s.prefix.IsValid() {
		o.Address = s.prefix.Addr().AsSlice()
		o.SourceScope = uint8(scope)
	}
	return o
}

// subnetOf finds the option in a query. None is nil.
func subnetOf(query []byte) (*subnet, error) {
	var p dnsmessage.Parser
	if _, err := p.Start(query); err != nil {
		return nil, err
	}
	if err := errors.Join(p.SkipAllQuestions(), p.SkipAllAnswers(), p.SkipAllAuthorities()); err != nil {
		return nil, err
	}
	var found *subnet
	for {
		h, err := p.AdditionalHeader()
		switch {
		case errors.Is(err, dnsmessage.ErrSectionDone):
			return found, nil
		case err != nil:
			return nil, err
		case h.Type != dnsmessage.TypeOPT:
			if err := p.SkipAdditional(); err != nil {
				return nil, err
			}
			continue
		}
		opt, err := p.OPTResource()
		if err != nil {
			return nil, err
		}
		for _, o := range opt.Options {
			if o.Code != dns.EDNS0SUBNET {
				continue
			}
			if found != nil {
				return nil, errSubnet
			}
			if found, err = readSubnet(o.Data); err != nil {
				return nil, err
			}
		}
	}
}
