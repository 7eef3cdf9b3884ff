// Package stricthttp serves strangers HTTP/1.1 and HTTP/2 with net/http's servers
// behind the guards of package framing: no handler sees a request that two
// programs could read differently, and floods of frames end their connection.
//
// A [Server] is a whole one, from the listener to the drain. Who has a lobby of its
// own, as edges do, takes the parts: [Multiplexed], which has net/http serve
// HTTP/2 on connections that are not crypto/tls's, and [Watch], which tells of who
// was cut off.
package stricthttp
