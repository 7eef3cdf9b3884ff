package edge

//lint:file-ignore SA1019 it dials once for each connection, which is counted

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// TestRestedConnectionGoesOn: a connection of HTTP/2 that rested between requests
// is for its client what it was: headers that its table of HPACK shortens, bodies of
// more bytes in all than the windows hold, both ways, and one connection throughout.
func TestRestedConnectionGoesOn(t *testing.T) {
	t.Parallel()
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for name, values := range r.Header {
			if strings.HasPrefix(name, "X-Said") {
				w.Header()["X-Heard"+name[len("X-Said"):]] = values
			}
		}
		fmt.Fprintf(w, "%s %d %s", r.URL.Path, len(body), bytes.Repeat([]byte("x"), len(body)))
	}}
	w := newWorld(t, []*region{g}, parkAfter(20*time.Millisecond))
	https, _ := w.Addrs()
	dials := 0
	client := &http2.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.roots, ServerName: domain},
		DialTLSContext: func(ctx context.Context, _, _ string, conf *tls.Config) (net.Conn, error) {
			dials++
			return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", https.String())
		},
	}
	defer client.CloseIdleConnections()
	dice := rand.New(rand.NewPCG(1, 2))
	for i := range 24 {
		size := 0
		if i%3 == 0 {
			size = 1 << 19
		}
		path := fmt.Sprintf("/%d", i%5)
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://"+domain+path, bytes.NewReader(make([]byte, size)))
		said := fmt.Sprintf("%x", dice.Uint64()>>(4*dice.IntN(16)))
		for n := range 1 + dice.IntN(4) {
			req.Header.Set(fmt.Sprintf("X-Said-%d", n), said)
		}
		req.Header.Set("Content-Type", "application/octet-stream")
		resp, err := client.RoundTrip(req)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		want := fmt.Sprintf("%s %d ", path, size)
		if err != nil || resp.Header.Get("X-Heard-0") != said || !bytes.HasPrefix(text, []byte(want)) || len(text) != len(want)+size {
			t.Fatalf("request %d: %q..., %d bytes, %v, heard %q; want %q and %d bytes, heard %q", i, text[:min(len(text), 30)], len(text), err, resp.Header.Get("X-Heard-0"), want, size, said)
		}
		if dice.IntN(3) > 0 {
			w.until("at rest", func() bool { return w.crowd.parked.Load() == 1 })
		}
	}
	if dials != 1 {
		t.Errorf("%d connections were needed", dials)
	}
}
