package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"meridian"
	"meridian/dns/zone"
)

// maxDatagram is the longest answer over UDP, in bytes: what crosses every
// path unfragmented.
const maxDatagram = 1232

// A query is one question, and who asks it.
type query struct {
	msg    *dns.Msg
	from   netip.Addr // where it came from: a resolver, most of the time
	opt    *dns.OPT   // nil without EDNS
	subnet *subnet    // nil without Client Subnet
	udp    bool
}

// asker returns the network that an answer is for: the client's if the
// resolver names one, else the resolver's own address (RFC 7871, section 7.2.1).
func (q *query) asker() netip.Prefix {
	if q.subnet != nil && q.subnet.prefix.IsValid() {
		return q.subnet.prefix
	}
	from := q.from.Unmap().WithZone("")
	return netip.PrefixFrom(from, from.BitLen())
}

// respond returns the answer to a packet, or nil for one that must not be
// answered: an answer would be a reply to a reply, or to nobody. It is a pure
// function of its arguments.
func (v *view) respond(packet []byte, from netip.Addr, udp bool) (answer []byte, done outcome) {
	if len(packet) < 12 || packet[2]&0x80 != 0 {
		return nil, outcome{dropped: true}
	}
	q, err := parse(packet, from, udp)
	reply := new(dns.Msg).SetReply(q.msg)
	reply.RecursionAvailable = false
	scope := 0
	if err == nil {
		done, scope, err = v.answer(reply, q)
	}
	done.qtype, done.rcode = question(q.msg).Qtype, rcode(err)
	return q.pack(reply, done.rcode, scope), done
}

// parse reads a packet. Also with an error the query is good enough to be
// replied to.
func parse(packet []byte, from netip.Addr, udp bool) (*query, error) {
	q := &query{msg: new(dns.Msg), from: from, udp: udp}
	if err := q.msg.Unpack(packet); err != nil {
		// What Unpack left behind may not fit into an answer.
		q.msg.Question, q.msg.Extra = nil, nil
		return q, invalid(err)
	}
	for _, rr := range q.msg.Extra {
		opt, ok := rr.(*dns.OPT)
		switch {
		case !ok:
		case q.opt != nil || opt.Hdr.Name != ".":
			return q, invalid(errors.New("more than one OPT record, or one that is not of the root")) // RFC 6891, section 6.1.1
		default:
			q.opt = opt
		}
	}
	var err error
	switch {
	case q.msg.Opcode != dns.OpcodeQuery:
		return q, meridian.WithKind(notImplemented, fmt.Errorf("opcode %d", q.msg.Opcode))
	case len(q.msg.Question) != 1: // RFC 9619
		return q, invalid(fmt.Errorf("%d questions", len(q.msg.Question)))
	case q.opt != nil && q.opt.Version() != 0: // RFC 6891, section 6.1.3
		return q, meridian.WithKind(badVersion, fmt.Errorf("EDNS version %d", q.opt.Version()))
	case q.opt != nil:
		q.subnet, err = subnetOf(packet)
	}
	return q, invalid(err)
}

func invalid(err error) error { return meridian.WithKind(meridian.Invalid, err) }

// answer fills in the reply. It checks what may be asked at all, and leaves
// what the names hold to records.
func (v *view) answer(reply *dns.Msg, q *query) (done outcome, scope int, err error) {
	ask := question(q.msg)
	switch {
	case ask.Qtype == dns.TypeOPT || ask.Qtype == dns.TypeTSIG:
		return done, 0, invalid(errors.New("a type that is no question"))
	case ask.Qclass != dns.ClassINET:
		return done, 0, meridian.WithKind(meridian.Forbidden, fmt.Errorf("class %d", ask.Qclass))
	case ask.Qtype == dns.TypeAXFR || ask.Qtype == dns.TypeIXFR:
		return done, 0, meridian.WithKind(meridian.Forbidden, errors.New("the zone is not given away"))
	}
	role, region := v.zone.Find(ask.Name, v.snap.Regions)
	switch {
	case role == zone.Outside:
		return done, 0, meridian.WithKind(meridian.Forbidden, errors.New("not our zone"))
	case ask.Qtype >= 128 && ask.Qtype < dns.TypeANY: // RFC 6895, section 3.1: meta-types
		return done, 0, meridian.WithKind(notImplemented, fmt.Errorf("type %d", ask.Qtype))
	}
	reply.Authoritative = true
	place, within := v.places.Find(q.asker())
	if done, err = v.records(reply, role, region, place); done.tailored() {
		scope = within
	}
	return done, scope, err
}

// question returns what is asked, or the zero Question.
func question(m *dns.Msg) dns.Question {
	if len(m.Question) == 0 {
		return dns.Question{}
	}
	return m.Question[0]
}

// pack writes the reply, at most as long as the asker can take: the rest is
// for TCP (RFC 2181, section 9; RFC 6891, section 6.2.5).
func (q *query) pack(reply *dns.Msg, code, scope int) []byte {
	if code != dns.RcodeSuccess && code != dns.RcodeNameError {
		reply.Authoritative = false
		reply.Answer, reply.Ns, reply.Extra = nil, nil, nil
	}
	reply.Rcode = code
	size := dns.MaxMsgSize
	if q.udp {
		size = dns.MinMsgSize
	}
	if q.opt != nil {
		if q.udp {
			size = min(max(int(q.opt.UDPSize()), dns.MinMsgSize), maxDatagram)
		}
		opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		opt.SetUDPSize(maxDatagram)
		opt.SetDo(q.opt.Do())
		if q.subnet != nil {
			opt.Option = append(opt.Option, q.subnet.echo(scope))
		}
		reply.Extra = append(reply.Extra, opt)
	}
	reply.Truncate(size)
	reply.Compress = true // Truncate turns it off for what fits without
	out, err := reply.Pack()
	if err != nil {
		// A name that could be read and cannot be written: say so without it.
		reply.Question, reply.Answer, reply.Ns, reply.Extra = nil, nil, nil, nil
		reply.Rcode = dns.RcodeFormatError
		out, _ = reply.Pack()
	}
	return out
}

// typeName names a query type for a metric: the ones we serve, and "other".
func typeName(qtype uint16) string {
	switch qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeNS, dns.TypeSOA, dns.TypeCNAME, dns.TypeANY, dns.TypeHTTPS:
		return strings.ToUpper(dns.TypeToString[qtype])
	}
	return "other"
}
