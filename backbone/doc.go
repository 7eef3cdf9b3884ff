// Package backbone is the private network between nodes.
//
// In comes a node's name and a service; out goes a net.Conn to that service of
// that node, over TLS 1.3, on which each end has proved by a certificate of
// the installation's own authority which node it is. Dial makes a connection of
// its own, for bulk; Open makes a stream on a link that is kept warm, and costs
// no round trip. A node has one port for all services: ALPN names the service
// (meridian-<service>/1, and meridian-mux-<service>/1 for links).
//
// It never sends a byte in the clear, never speaks to a node that the
// authority did not name, and never retries: bytes that were written once are
// never written again. When the other node is down, Open and Dial fail with
// meridian.Unavailable within a round trip and a second, and links are dialed
// anew in the background until they stand again.
//
// In an `up` world, Links puts simulated delays and faults between places. The
// side that dials holds the bytes of both directions, so one process can slow,
// or cut, what it dialed; every node of a world is told of every fault.
package backbone
