package accesslog

import (
	"net/netip"
	"time"
)

// An Entry is one request and how it was answered.
type Entry struct {
	Time     time.Time // when its headers had come
	Place    string    // of the edge
	Request  string    // its id
	Trace    string
	Client   netip.AddrPort
	Protocol string // such as HTTP/2.0
	TLS      string // such as TLSv1.3; "" if there is none
	Cipher   string

	Method, Host, Path, Query                string // as they came
	Referer, UserAgent, Cookie, Forwarded    string
	BytesIn, BytesOut                        int64 // of the bodies
	Status                                   int
	ContentType, ContentLength, ContentRange string        // of the response
	Took, FirstByte                          time.Duration // FirstByte is 0 if there was none

	Outcome  string // of the cache: hit, stale, revalidated, collapsed, miss, bypass, refused; "" if it was not asked
	Behavior string // the pattern
	Region   string // that answered
	Why      string // it was that one
	Guard    string // why the request was let in, or not
	Country  string
	Rollout  string    // the version and its arm, staged or current; "" while there is no rollout
	Function string    // CloudFront's word for what an edge function did: it answered, or failed; "" if neither
	Notes    [2]string // what a viewer-request and a viewer-response function left for this line
	Fault    Fault
	Error    string
}

// A Fault is what went wrong, of a closed set.
type Fault string

// The faults. None is "".
const (
	FaultClient  Fault = "client"  // the client went away, or did not take the response
	FaultConnect Fault = "connect" // nothing was sent to an origin
	FaultOrigin  Fault = "origin"  // an origin broke off, or what it said made no sense
	FaultTimeout Fault = "timeout" // an origin did not answer in time
	FaultRate    Fault = "rate"    // the client asked too often
	FaultBlocked Fault = "blocked" // the guard refused
	FaultRequest Fault = "request" // the request is malformed or too large
	FaultMethod  Fault = "method"

	FaultFunction Fault = "function" // an edge function failed
	FaultResult   Fault = "result"   // what an edge function returned cannot be
)

// Result returns CloudFront's x-edge-result-type and x-edge-detailed-result-type.
func Result(e *Entry) (result, detailed string) {
	switch r, ok := byFault[e.Fault]; {
	case ok && e.Function != "" && (e.Fault == FaultFunction || e.Fault == FaultResult):
		return r[0], e.Function
	case ok:
		return r[0], r[1]
	case e.Function != "" && (e.Outcome == "" || e.Outcome == "miss" || e.Outcome == "bypass"):
		return e.Function, e.Function
	}
	if e.Status >= 400 {
		if e.Outcome == "" {
			return "Error", "InvalidRequest"
		}
		return "Error", "OriginError"
	}
	switch e.Outcome {
	case "hit", "stale", "collapsed":
		return "Hit", "Hit"
	case "revalidated":
		return "RefreshHit", "RefreshHit"
	case "":
		if e.Status >= 300 && e.Status < 400 && e.Status != 304 {
			return "Redirect", "Redirect"
		}
	}
	return "Miss", "Miss"
}

// byFault are CloudFront's words for faults, from its developer guide.
var byFault = map[Fault][2]string{
	FaultClient:  {"Error", "ClientCommError"},
	FaultConnect: {"Error", "OriginConnectError"},
	FaultOrigin:  {"Error", "OriginCommError"},
	FaultTimeout: {"Error", "OriginReadError"},
	FaultRate:    {"LimitExceeded", "LimitExceeded"},
	FaultBlocked: {"Error", "InvalidRequestBlocked"},
	FaultRequest: {"Error", "InvalidRequest"},
	FaultMethod:  {"Error", "InvalidRequestMethod"},

	FaultFunction: {"Error", "FunctionExecutionError"},
	FaultResult:   {"Error", "FunctionValidationError"},
}
