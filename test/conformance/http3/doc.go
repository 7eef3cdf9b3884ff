// Package http3 has other people's clients of HTTP/3 talk to an edge. Most of the
// other tests talk to it with quic-go, which the edge itself is made of.
//
// gtlsclient (Debian's ngtcp2-client) is ngtcp2 and nghttp3 on GnuTLS.
package http3
