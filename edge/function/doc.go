// Package function runs edge functions: JavaScript that an operator wrote for
// CloudFront Functions' runtime 2.0, or for Lambda@Edge, between a viewer and the
// edge, or the edge and an origin.
//
// In come an event's values, out come a request or a response, or an Error that
// says why not. A run has a runtime of its own, so that it finds nothing of any
// other; no network, no files, no timers; the time stands still in it. What it
// may use is bounded (see Limits), and one that exceeds that is ended and hurts
// its own request alone.
package function
