// Package httpcache runs the public suite for HTTP caches, http-cache-tests
// (BSD-3-Clause), through an edge, and compares each result with the one that
// testdata/results.txt expects.
//
// The suite's own server is the origin: it stands behind an HTTP/2 server, as a
// function stands behind a gateway. Its client speaks TLS to the edge. With -own it is
// an origin of one's own, and spoken to directly.
// tools/deps.sh installs the suite; none of it is part of this repository. It is
// a tool to look at caches with, and certifies nothing.
package httpcache
