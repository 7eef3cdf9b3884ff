package gateway

import (
	"net/http"
	"strings"
)

// stripClientCert removes what a stranger says of a client's certificate
// (RFC 9440): only edges, which saw it, may. A name with _ for - is the same to
// some programs that functions are written in.
func stripClientCert(h http.Header) {
	for name := range h {
		switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) {
		case "client-cert", "client-cert-chain":
			delete(h, name)
		}
	}
}
