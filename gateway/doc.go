// Package gateway is the desk of a region: an HTTP request comes in, the answer
// of a function goes out, as an API Gateway HTTP API would have it.
//
// It matches the route, decides whether the caller may use it, turns the
// request into an event of payload format 2.0 or 1.0, hands that to an Invoker
// and turns the function's output into an answer. A preflight is answered
// before authentication. Errors have the bodies and status codes that API
// Gateway documents (status.go), and every answer bears apigw-requestid and
// Meridian-Region.
//
// There are two doors. Inner serves the backbone, where edges are: it believes
// Meridian-Identity if that opens, Meridian-Request, Meridian-Time-Left and
// X-Forwarded-For. Public serves strangers: it drops every Meridian-* header
// but Meridian-Consistency and verifies the original credential itself. What
// one door lets in, the other does too.
//
// A request's consistency tokens become the invocation's floor; the token that
// the database saw goes out as Meridian-Consistency (guarantee 1). A token that
// cannot be read is counted and ignored.
//
// Outside of the primary's region it decides, before the function gets the
// event, where the request runs: at home, or where the primary is if more than
// one round trip to it is expected at home (package placement). Such a request
// passes on byte for byte, once, to the inner door there, and its answer comes
// back unchanged. If it was surely not sent, or got no slot there, it runs at
// home; if it may have been executed, the answer is the 503 of a lost primary, or
// 504 when its time was over, unless it has a key that tells. A request that was placed is not placed again.
//
// A request with an Idempotency-Key that is not safe to repeat is executed once, in
// whichever region it comes to, where there is a Ledger (package ledger): from the
// claim of its key on it runs to its end, and who comes with the same key is
// answered as it was, or hears that nobody can tell.
//
// It never runs a request twice, never lets a function write headers of the
// connection or of Meridian, and never replaces a good API by a bad one
// (guarantee 6). It holds at most Limits.InFlight bytes of bodies, then answers
// 503. If functions are down it answers 500, 503 or 429 by the error's kind; if
// only the primary region is away, and the function failed for it, 503 with
// Retry-After and the reason.
package gateway
