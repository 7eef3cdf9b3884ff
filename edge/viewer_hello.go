package edge

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// A hello is what a client offered when its connection began, from which its
// fingerprints are made when somebody asks for them, once. It lives as long as
// its connection and holds nothing of the handshake's own: a slice of that would
// keep the whole message.
type hello struct {
	version    uint16 // the highest that is offered
	ciphers    []uint16
	extensions []uint16
	curves     []uint16
	points     []uint16
	schemes    []uint16
	protocol   [2]byte // two characters of the first one, as JA4 has them; zeros: none
	named      bool    // it says a server's name

	three, four atomic.Pointer[string]
}

// helloKey is where a connection's context has the box of its hello.
type helloKey struct{}

// withHello returns the context of a new connection, in which its handshake will
// leave the hello for the requests that follow.
func withHello(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, helloKey{}, new(atomic.Pointer[hello]))
}

// keepHello notes what a client offers. It is called in every handshake.
func keepHello(i *tls.ClientHelloInfo) {
	if box, ok := i.Context().Value(helloKey{}).(*atomic.Pointer[hello]); ok {
		box.Store(offered(i))
	}
}

// offered returns what a client offers.
func offered(i *tls.ClientHelloInfo) *hello {
	h := &hello{named: i.ServerName != ""}
	all := make([]uint16, 0, len(i.CipherSuites)+len(i.Extensions)+len(i.SupportedCurves)+len(i.SupportedPoints)+len(i.SignatureSchemes))
	h.ciphers, all = copied(all, i.CipherSuites)
	h.extensions, all = copied(all, i.Extensions)
	h.curves, all = copied(all, i.SupportedCurves)
	h.points, all = copied(all, i.SupportedPoints)
	h.schemes, _ = copied(all, i.SignatureSchemes)
	if len(i.SupportedProtos) > 0 && i.SupportedProtos[0] != "" {
		h.protocol = ends(i.SupportedProtos[0])
	}
	for _, v := range i.SupportedVersions {
		if !grease(v) {
			h.version = max(h.version, v)
		}
	}
	return h
}

// ends returns the first and the last character of a protocol's name, or where
// one of them is no letter or digit, those of its bytes in hexadecimal: what
// strangers send must not stand in a header as it is.
func ends(name string) [2]byte {
	plain := func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' }
	first, last := name[0], name[len(name)-1]
	if !plain(first) || !plain(last) {
		first, last = fmt.Sprintf("%02x", first)[0], fmt.Sprintf("%02x", last)[1]
	}
	return [2]byte{first, last}
}

// copied copies values to the end of all, and returns them there, and all with them.
func copied[T ~uint8 | ~uint16](all []uint16, values []T) (part, with []uint16) {
	n := len(all)
	for _, v := range values {
		all = append(all, uint16(v))
	}
	return all[n:len(all):len(all)], all
}

// helloOf returns the hello of a request's connection, or nil.
func helloOf(ctx context.Context) *hello {
	if box, ok := ctx.Value(helloKey{}).(*atomic.Pointer[hello]); ok {
		return box.Load()
	}
	return nil
}

// grease reports values that mean nothing (RFC 8701).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

func meant(values []uint16) (out []uint16) {
	for _, v := range values {
		if !grease(v) {
			out = append(out, v)
		}
	}
	return out
}

// made returns what is in a box, and makes it first if need be.
func made(box *atomic.Pointer[string], how func() string) string {
	if s := box.Load(); s != nil {
		return *s
	}
	s := how()
	box.Store(&s)
	return s
}

// ja3 returns the fingerprint of that name (salesforce/ja3): the MD5 of version,
// ciphers, extensions, curves and point formats, as they were offered. The
// version is that of the record, 771 in every client of TLS 1.2 and 1.3.
func (h *hello) ja3() string {
	if h == nil {
		return ""
	}
	return made(&h.three, func() string {
		join := func(values []uint16) string {
			var s []string
			for _, v := range meant(values) {
				s = append(s, strconv.Itoa(int(v)))
			}
			return strings.Join(s, "-")
		}
		sum := md5.Sum([]byte(strings.Join([]string{strconv.Itoa(int(min(h.version, tls.VersionTLS12))), join(h.ciphers), join(h.extensions), join(h.curves), join(h.points)}, ",")))
		return hex.EncodeToString(sum[:])
	})
}

// The extensions that JA4 leaves out of its hash: they say where, not who.
const extensionName, extensionALPN = 0x0000, 0x0010

// versionNames are how JA4 calls versions. Any other is 00: a client may offer one
// that is no version, beside those of which one was taken.
var versionNames = map[uint16]string{
	tls.VersionTLS13: "13", tls.VersionTLS12: "12", tls.VersionTLS11: "11", tls.VersionTLS10: "10", 0x0300: "s3", 0x0002: "s2", 0xfeff: "d1", 0xfefd: "d2", 0xfefc: "d3",
}

// ja4 returns FoxIO's JA4 of TLS over TCP: what was offered, in an order of its
// own, so that a client which shuffles its extensions is still the same.
func (h *hello) ja4() string {
	if h == nil {
		return ""
	}
	return made(&h.four, func() string {
		ciphers, extensions := meant(h.ciphers), meant(h.extensions)
		name, protocol := "i", "00"
		if h.named {
			name = "d"
		}
		if h.protocol[0] != 0 {
			protocol = string(h.protocol[:])
		}
		version, ok := versionNames[h.version]
		if !ok {
			version = "00"
		}
		a := fmt.Sprintf("t%s%s%02d%02d%s", version, name, min(len(ciphers), 99), min(len(extensions), 99), protocol)
		kept := slices.DeleteFunc(slices.Clone(extensions), func(e uint16) bool { return e == extensionName || e == extensionALPN })
		slices.Sort(ciphers)
		slices.Sort(kept)
		text := hexes(kept)
		if len(h.schemes) > 0 {
			text += "_" + hexes(meant(h.schemes))
		}
		return a + "_" + short12(hexes(ciphers), len(ciphers)) + "_" + short12(text, len(kept))
	})
}

func hexes(values []uint16) string {
	var s []string
	for _, v := range values {
		s = append(s, fmt.Sprintf("%04x", v))
	}
	return strings.Join(s, ",")
}

// short12 returns the first 12 digits of a SHA-256, zeros of nothing.
func short12(text string, n int) string {
	if n == 0 {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:12]
}
