// Package xconnect switches extended CONNECT (RFC 8441) on in net/http's HTTP/2,
// for servers and clients of the whole program, by being imported.
//
// net/http reads the switch from the environment while it is initialized, and
// has no other. Packages are initialized in the order of their paths, as far as
// what they import allows (the Go specification, Program initialization): this
// one, which imports os alone, comes before net/http. The tests of WebSocket over
// HTTP/2 in package edge fail if that ever changes.
package xconnect

import (
	"os"
	"strings"
)

const setting = "http2xconnect=1"

var _ = enable()

func enable() error {
	now := os.Getenv("GODEBUG")
	if strings.Contains(now, "http2xconnect") {
		return nil
	}
	return os.Setenv("GODEBUG", strings.TrimPrefix(now+","+setting, ","))
}
