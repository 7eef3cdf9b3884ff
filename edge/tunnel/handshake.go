package tunnel

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
)

// A Handshake is a viewer's request for a WebSocket connection.
type Handshake struct {
	Key      string // of HTTP/1.1; "" over what needs none
	Extended bool   // it came by extended CONNECT
}

// A Refusal is why a handshake is none, and the status that says so.
type Refusal struct {
	Status int
	Why    string
}

// Asks reports whether a request asks for another protocol on its connection or
// stream, and which.
func Asks(r *http.Request) (protocol string, ok bool) {
	switch p := r.Header[":protocol"]; {
	case r.Method == http.MethodConnect && len(p) > 0:
		return p[0], true
	case r.Method == http.MethodConnect && r.ProtoMajor == 3 && r.Proto != "HTTP/3.0": // quic-go puts it there
		return r.Proto, true
	case r.ProtoMajor == 1 && hasToken(r.Header["Connection"], "upgrade") && hasToken(r.Header["Upgrade"], "websocket"):
		return "websocket", true
	}
	return "", false
}

// Read judges a request that Asks (RFC 6455, section 4.2.1).
func Read(r *http.Request) (Handshake, *Refusal) {
	protocol, _ := Asks(r)
	h := r.Header
	extended := r.Method == http.MethodConnect
	switch {
	case protocol != "websocket":
		return Handshake{}, &Refusal{http.StatusNotImplemented, "The edge takes no other protocol here than websocket."} // RFC 9220, section 3
	case !extended && (r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1)):
		return Handshake{}, &Refusal{http.StatusBadRequest, "A WebSocket handshake is a GET of HTTP/1.1."}
	case !extended && (r.ContentLength != 0 || len(r.TransferEncoding) > 0):
		return Handshake{}, &Refusal{http.StatusBadRequest, "A WebSocket handshake has no body."}
	case len(h["Sec-Websocket-Version"]) != 1 || h["Sec-Websocket-Version"][0] != "13":
		return Handshake{}, &Refusal{http.StatusUpgradeRequired, "The edge takes version 13 of WebSocket."}
	case extended:
		return Handshake{Extended: true}, nil
	}
	keys := h["Sec-Websocket-Key"]
	if len(keys) != 1 || !isKey(keys[0]) {
		return Handshake{}, &Refusal{http.StatusBadRequest, "Sec-WebSocket-Key is not 16 bytes in base64."}
	}
	return Handshake{Key: keys[0]}, nil
}

func isKey(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(b) == 16
}

// NewKey returns a key to ask with.
func NewKey() string {
	b := make([]byte, 16)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// Accept returns the answer to a key (RFC 6455, section 4.2.2).
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Verify reports whether a 101 answers the request that was sent with key
// (RFC 6455, section 4.1), or why not.
func Verify(h http.Header, key string) error {
	switch {
	case !hasToken(h["Upgrade"], "websocket") || !hasToken(h["Connection"], "upgrade"):
		return fmt.Errorf("the origin switched to %q, and not to websocket", h.Get("Upgrade"))
	case len(h["Sec-Websocket-Accept"]) != 1 || strings.TrimSpace(h["Sec-Websocket-Accept"][0]) != Accept(key):
		return fmt.Errorf("the origin's Sec-WebSocket-Accept %q is not of the key that it was sent", h.Get("Sec-Websocket-Accept"))
	}
	return nil
}

func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(textproto.TrimString(t), token) {
				return true
			}
		}
	}
	return false
}
