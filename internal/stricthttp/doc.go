// Package stricthttp is what it takes to serve strangers HTTP/1.1 and HTTP/2 with
// net/http's servers behind the guards of package framing: [Shake] and [Guard],
// [Multiplexed], which has net/http serve HTTP/2 on connections that are not
// crypto/tls's, and [Watch], which tells of who was cut off.
package stricthttp
