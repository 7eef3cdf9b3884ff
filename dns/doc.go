// Package dns is the hop that says where to: an authoritative name server for
// the domain's zone, over UDP and TCP (RFC 1034, 1035).
//
// In comes a DNS message, from a resolver or anybody else. Out goes the address
// of the healthy edge that is nearest to whoever the resolver asks for, by the
// Client Subnet it sends (RFC 7871) or else by its own address; or the name of
// the nearest region; or the constant records of the zone. Package zone lists
// the names. Package steer decides, from topology's newest snapshot, and every
// decision has a reason, which TXT _why._region.<domain> tells.
//
// It never asks anybody while it answers: not the store, not another node. It
// never forwards or recurses, never answers for another zone, never gives the
// zone away as a whole, and never sends more than 1232 bytes in a datagram.
//
// When the next hop is down: an edge or a region that the map calls unhealthy
// is not answered; if all are, all count as healthy (guarantee 8). When the
// control plane is down, the last map stays in use (guarantee 5). Before there
// is any map, a steered name is answered with SERVFAIL, which resolvers do not
// keep, and not with "no such record", which they do.
package dns
