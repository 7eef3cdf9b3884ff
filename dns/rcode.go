package dns

import (
	"github.com/miekg/dns"

	"meridian"
)

// Kinds that only DNS has a code for.
const (
	notImplemented meridian.Kind = "not implemented" // an opcode or a query type that we do not serve
	badVersion     meridian.Kind = "bad version"     // of EDNS
)

// rcodes is the response code of each kind of error: RFC 1035, section 4.1.1,
// and RFC 6891, section 9.
var rcodes = map[meridian.Kind]int{
	"":                   dns.RcodeSuccess,
	meridian.Invalid:     dns.RcodeFormatError,
	meridian.Malformed:   dns.RcodeFormatError,
	meridian.NotFound:    dns.RcodeNameError,
	meridian.Forbidden:   dns.RcodeRefused,
	meridian.Unavailable: dns.RcodeServerFailure,
	notImplemented:       dns.RcodeNotImplemented,
	badVersion:           dns.RcodeBadVers,
}

// rcode returns the response code for an error; what the table does not have
// is our own failure.
func rcode(err error) int {
	if code, ok := rcodes[meridian.KindOf(err)]; ok {
		return code
	}
	return dns.RcodeServerFailure
}
