// Package edge is the door of the API: the first that a client meets, and the
// only one that it sees.
//
// In comes HTTP/1.1, HTTP/2 and HTTP/3 over TLS 1.2 or 1.3, from anybody; plain
// HTTP is answered with where HTTPS is. Out goes the same request, method, path, query
// and Host byte for byte, over a warm HTTP/2 connection to the healthy region
// with the lowest latency, and back comes the region's response as a stream.
// On the way the edge verifies who asks, and seals that for the region; strips
// what only nodes may say to each other; bounds headers, bodies and times; and
// carries the caller's consistency tokens, so that nobody reads data older than
// they have seen.
//
// The edge never executes a request twice that is not safe to repeat (guarantee
// 4): a request that was not sent goes to another region whatever its method,
// one that may have been sent only if it is GET, HEAD or OPTIONS, or has an
// Idempotency-Key by which the regions execute it once, and in both cases only
// while all that was read of its body is still held. It never asks
// DNS or the store on a request's path: it decides in memory, on the newest map,
// and goes on with the last one if there is no newer. It never trusts a
// Meridian-* header of a client, but for Meridian-Consistency.
//
// When a region is down, silent or late, or says that it is being drained,
// requests go to the next best, and the log says why; a read that is late is
// asked of a second region, too, within a budget. Edges tell each other what
// they find broken. When none can be reached, the answer is 503
// with Retry-After. What a region answered, its errors too, passes unchanged.
//
// A [Behavior] says otherwise of the paths that its pattern matches: which
// methods are let in, which headers, cookies and parameters are sent on, what is
// stored and which headers come back, what stands for an error, and whether the
// request goes to the regions at all or to an HTTP server that somebody else
// runs. Such an origin is told nothing that is between nodes, and not believed. To
// one, a WebSocket passes as bytes; see package tunnel.
//
// # The engine
//
// Bytes become requests in an [Engine], net/http's by default. The rest of the
// package is an http.Handler, and cares only that an engine gives it the
// request line as it came (RequestURI), cancels the request's context when the
// client goes away, and breaks the response when the handler panics with
// http.ErrAbortHandler. So an engine can be replaced, and measured.
//
// Header order and the case of names in HTTP/1.1 are lost in net/http, and a
// Cookie header may be cut into its pairs on the way, as HTTP/2 allows.
package edge
