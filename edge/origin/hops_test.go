package origin

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// says serves heads over TCP, or TLS: each connection answers its requests with one
// after another.
func says(t *testing.T, secure bool, answers ...string) *Custom {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := CustomConfig{Name: "assets", URL: &url.URL{Scheme: "http", Host: l.Addr().String()}}
	if secure {
		s := httptest.NewUnstartedServer(nil)
		s.StartTLS()
		cfg.Roots = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		l = tls.NewListener(l, &tls.Config{Certificates: s.TLS.Certificates})
		cfg.URL.Scheme = "https"
		s.Close()
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				from := bufio.NewReader(c)
				for _, a := range answers {
					if _, err := http.ReadRequest(from); err != nil {
						return
					}
					io.Copy(c, iotest.OneByteReader(strings.NewReader(a)))
				}
			}()
		}
	}()
	c := NewCustom(cfg, nil)
	t.Cleanup(c.Close)
	return c
}

// TestWhatAnOriginNamesInConnectionIsKnown: control: net/http alone knows it of the
// first kind and the last only.
func TestWhatAnOriginNamesInConnectionIsKnown(t *testing.T) {
	for _, tt := range []struct {
		head string
		want []string
	}{
		{"Connection: X-Hop\r\n", []string{"X-Hop"}},
		{"Connection: close, X-Hop\r\n", []string{"close, X-Hop"}},
		{"connection:X-Hop,close \r\n", []string{"X-Hop,close"}},
		{"Connection: close\r\nConnection: X-Hop\r\n", []string{"close", "X-Hop"}},
		{"Connection: close,\r\n X-Hop\r\n", []string{"close,", "X-Hop"}},
		{"X: y\r\n close, X-Hop\r\n", nil},
		{"", nil},
	} {
		for _, secure := range []bool{false, true} {
			const ok = "HTTP/1.1 200 OK\r\n"
			c := says(t, secure, ok+"Content-Length: 18\r\n\r\nConnection: X-Old\n", // kept, and its body is no head
				"HTTP/1.1 103 Early\r\nConnection: X-Early\r\n\r\n"+ok+tt.head+"X-Hop: 1\r\nContent-Length: 0\r\n\r\n")
			for i := range 2 {
				req, _ := http.NewRequest("GET", "http://x", nil)
				c.Address(req, "/", "", false, "")
				resp, err := c.RoundTrip(req, Trip{})
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if got := resp.Header["Connection"]; i == 1 && !slices.Equal(got, tt.want) {
					t.Errorf("%q, TLS %v: %q, want %q", tt.head, secure, got, tt.want)
				}
			}
		}
	}
}
