// Package tunnel is WebSocket (RFC 6455) on its way through the edge.
//
// In comes a request to open a connection, by the Upgrade of HTTP/1.1 or by the
// extended CONNECT of HTTP/2 and HTTP/3 (RFC 8441, RFC 9220); out goes one to an
// origin, and then bytes both ways as they come. What is in the frames is the
// ends' own business: the edge reads their lengths, and nothing else, so that it
// can end a connection between two of them, with the code that says why.
package tunnel
