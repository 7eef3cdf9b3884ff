// Package identity answers one question: who is asking? The edge and the
// gateway both use it, so that what one accepts the other accepts too.
//
// In comes a request's header. A Verifier finds the credentials in it that are
// Meridian's to judge (an API key in x-api-key, a JSON Web Token in
// Authorization that a configured authorizer issued), verifies them, and
// returns a Principal. An application's own credentials pass it by unseen.
//
// The edge verifies once and seals the Principal into the Meridian-Identity
// header (Seal): an HMAC of a key that only that edge and the regions hold,
// good for one request and for seconds. A region opens it (Opener.Open) instead
// of verifying the original credential again, and refuses at once what was
// revoked since.
//
// The package does no I/O and waits for nobody: keys are handed in, and a new
// set replaces the old one without stopping a request. If nobody hands in new
// keys, the last ones stay good (guarantee 5). It never keeps or logs a secret
// of a caller: of an API key it knows the SHA-256 alone.
//
// It implements the verifying side of RFC 7515 (JWS), RFC 7517 (JWK), RFC 7519
// (JWT) and RFC 6750 (Bearer), as RFC 8725 (best current practices) tells to.
package identity

// The headers that the edge and the regions use between themselves. An edge
// strips all of them but Consistency from what a client sends.
const (
	HeaderIdentity    = "Meridian-Identity"    // a sealed Principal, from the edge
	HeaderRequest     = "Meridian-Request"     // the request id, from the edge
	HeaderConsistency = "Meridian-Consistency" // consistency tokens, both ways
	HeaderTimeLeft    = "Meridian-Time-Left"   // milliseconds until the caller gives up
)

// CookieConsistency is the cookie in which a browser keeps the tokens of
// HeaderConsistency.
const CookieConsistency = "Meridian-Consistency"

// HeaderAPIKey is where a caller puts an API key.
const HeaderAPIKey = "X-Api-Key"
