package dns

import (
	"errors"

	"github.com/miekg/dns"

	"meridian"
	"meridian/dns/steer"
	"meridian/dns/zone"
	"meridian/topology"
)

// An outcome is what there is to count of a query.
type outcome struct {
	qtype        uint16
	rcode        int
	dropped      bool
	edge, region meridian.Region // that the asker was sent to, or ""
}

// tailored reports whether the answer depends on who asks.
func (o outcome) tailored() bool { return o.edge != "" || o.region != "" }

// errNoMap: there is nowhere to send anybody, which must not be mistaken for
// "has no address": a resolver would remember that.
var errNoMap = meridian.WithKind(meridian.Unavailable, errors.New("the map is empty"))

// records puts into the reply what a name of a role holds for an asker at
// place, each owner spelled as the question spells it. The error is NotFound
// for a name that does not exist.
func (v *view) records(reply *dns.Msg, role zone.Role, region topology.Region, place meridian.Region) (done outcome, err error) {
	ask := reply.Question[0]
	add := func(rrs ...dns.RR) { reply.Answer = append(reply.Answer, rrs...) }
	switch {
	case role == zone.Missing:
		err = meridian.WithKind(meridian.NotFound, errors.New("no such name"))
	case role == zone.Origin:
		done.region, err = v.origin(reply, place)
	case ask.Qtype == dns.TypeANY && role != zone.Between:
		add(v.zone.Any(ask.Name))
	case role == zone.Apex && ask.Qtype == dns.TypeSOA:
		add(v.zone.SOA(ask.Name, v.snap.At))
	case role == zone.Apex && ask.Qtype == dns.TypeNS:
		ns, glue := v.zone.NS(ask.Name)
		add(ns)
		reply.Extra = append(reply.Extra, glue...)
	case role == zone.Apex && isAddress(ask.Qtype):
		done.edge, err = v.door(reply, place)
	case (role == zone.Apex || role == zone.AtPort) && ask.Qtype == dns.TypeHTTPS:
		done.edge, err = v.service(reply, place)
	case role == zone.NameServer && isAddress(ask.Qtype):
		add(v.zone.Servers(ask.Name, ask.Qtype)...)
	case role == zone.Gateway && isAddress(ask.Qtype):
		add(v.zone.Address(ask.Name, ask.Qtype, region.Gateway.Addr())...)
	case (role == zone.Nearest || role == zone.Why) && ask.Qtype == dns.TypeTXT:
		done.region, err = v.nearest(reply, role, place)
	case role == zone.Challenge && ask.Qtype == dns.TypeTXT && v.texts != nil:
		for _, text := range v.texts(ask.Name) {
			add(v.zone.TXT(ask.Name, text))
		}
	}
	if reply.Answer == nil || lastIsAlias(reply, ask.Qtype) {
		reply.Ns = append(reply.Ns, v.zone.Denial(v.snap.At))
	}
	return done, err
}

func isAddress(qtype uint16) bool { return qtype == dns.TypeA || qtype == dns.TypeAAAA }

// lastIsAlias reports whether the answer ends at an alias whose target has
// nothing of the type that was asked for (RFC 2308, section 2.2).
func lastIsAlias(reply *dns.Msg, qtype uint16) bool {
	_, alias := reply.Answer[len(reply.Answer)-1].(*dns.CNAME)
	return alias && qtype != dns.TypeCNAME && qtype != dns.TypeANY
}

// door answers with the address of the nearest edge. If the domain has edges,
// but none with an address of that type, the answer is empty.
func (v *view) door(reply *dns.Msg, place meridian.Region) (meridian.Region, error) {
	ask := reply.Question[0]
	if len(v.snap.Edges) == 0 {
		return "", errNoMap
	}
	c, ok := steer.Edge(v.snap, place, func(e topology.Edge) bool { return zone.Holds(ask.Qtype, e.HTTPS.Addr()) })
	if !ok {
		return "", nil
	}
	reply.Answer = v.zone.Address(ask.Name, ask.Qtype, c.To.HTTPS.Addr())
	return c.To.Name, nil
}

// service answers with how to speak to the nearest edge. The name of a port at
// which no edge listens has no record.
func (v *view) service(reply *dns.Msg, place meridian.Region) (meridian.Region, error) {
	ask := reply.Question[0]
	if len(v.snap.Edges) == 0 {
		return "", errNoMap
	}
	port := zone.PortOf(ask.Name)
	c, ok := steer.Edge(v.snap, place, func(e topology.Edge) bool { return e.HTTPS.IsValid() && (port == 0 || e.HTTPS.Port() == port) })
	if !ok {
		return "", nil
	}
	reply.Answer = append(reply.Answer, v.zone.HTTPS(ask.Name, v.alpn, c.To.HTTPS))
	target := v.zone.Apex()
	if port == 0 {
		target = ask.Name
	}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		reply.Extra = append(reply.Extra, v.zone.Address(target, qtype, c.To.HTTPS.Addr())...)
	}
	return c.To.Name, nil
}

// origin answers with the name of the nearest region's gateway, and with its
// address where that was asked for. There is nothing else at an alias.
func (v *view) origin(reply *dns.Msg, place meridian.Region) (meridian.Region, error) {
	ask := reply.Question[0]
	c, ok := steer.Region(v.snap, place)
	if !ok {
		return "", errNoMap
	}
	target := v.zone.Of(c.To.Name)
	reply.Answer = append(reply.Answer, v.zone.CNAME(ask.Name, target))
	reply.Answer = append(reply.Answer, v.zone.Address(target, ask.Qtype, c.To.Gateway.Addr())...)
	return c.To.Name, nil
}

// nearest answers with the nearest region's name, and with the reason beside
// it; or with the reason itself.
func (v *view) nearest(reply *dns.Msg, role zone.Role, place meridian.Region) (meridian.Region, error) {
	ask := reply.Question[0]
	c, ok := steer.Region(v.snap, place)
	switch {
	case !ok:
		return "", errNoMap
	case role == zone.Why:
		reply.Answer = append(reply.Answer, v.zone.TXT(ask.Name, c.Why))
	default:
		reply.Answer = append(reply.Answer, v.zone.TXT(ask.Name, string(c.To.Name)))
		reply.Extra = append(reply.Extra, v.zone.TXT("_why."+ask.Name, c.Why))
	}
	return c.To.Name, nil
}
