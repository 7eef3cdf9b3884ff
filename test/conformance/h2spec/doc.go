// Package h2spec runs h2spec, the conformance suite for HTTP/2, against an edge
// over TLS. Its program is pinned in tools/go.mod.
package h2spec
