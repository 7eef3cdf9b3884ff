package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"meridian"
	"meridian/gateway"
	"meridian/topology"
)

// cross runs a crossing from eu-west-1 to a region served by h.
func cross(t *testing.T, h http.HandlerFunc) (*crossing, *httptest.Server) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	world := &topology.Map{}
	world.Publish(&topology.Snapshot{Regions: []topology.Region{{Name: "us-east-1", Primary: true, Healthy: true}, {Name: "eu-west-1", Healthy: true}}})
	c := newCrossing("eu-west-1", world, func(ctx context.Context, r meridian.Region) (net.Conn, error) {
		if r == "eu-west-1" {
			t.Error("it dialed itself")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", srv.Listener.Addr().String())
	})
	ctx, cancel := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- c.run(ctx, func() { close(ready) }) }() // awaited by the cleanup
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		srv.Close()
	})
	return c, srv
}

// post makes a request as a gateway does.
func post(t *testing.T, key string) *http.Request {
	return (&http.Request{
		Method: "POST", URL: &url.URL{Scheme: "https", Host: "api.example.test", Opaque: "/a%2Fb?x=%41"}, Host: "api.example.test",
		Header: http.Header{"Idempotency-Key": {key}}, Body: io.NopCloser(strings.NewReader("body")), ContentLength: 4,
	}).WithContext(t.Context())
}

func TestACrossingCarriesRequestsAsTheyAre(t *testing.T) {
	c, _ := cross(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.Proto+" "+r.Method+" "+r.Host+" "+r.RequestURI+" "+string(b))
	})
	if _, err := c.to(t.Context(), "ap-southeast-1"); err == nil {
		t.Error("a way to a region that is not there")
	}
	resp, err := ferry{c.origin, "us-east-1"}.RoundTrip(post(t, "")) // waits for the first connection
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if want := "HTTP/2.0 POST api.example.test /a%2Fb?x=%41 body"; err != nil || string(b) != want {
		t.Errorf("%q, %v; want %q", b, err, want)
	}
	if _, err := c.to(t.Context(), "us-east-1"); err != nil {
		t.Error(err)
	}
}

// net/http by itself would send a POST with an Idempotency-Key again.
func TestARequestOnACrossingIsSentOnce(t *testing.T) {
	seen := make(chan string, 10)
	c, srv := cross(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		seen <- r.Header.Get("Idempotency-Key")
		panic(http.ErrAbortHandler)
	})
	_, err := ferry{c.origin, "us-east-1"}.RoundTrip(post(t, "once"))
	var unsent *gateway.Unsent
	if err == nil || errors.As(err, &unsent) {
		t.Errorf("%v: want an error that leaves it in doubt", err)
	}
	if n := len(seen); n != 1 {
		t.Errorf("the region saw %d requests, want 1", n)
	}
	srv.Listener.Close()
	srv.CloseClientConnections()
	_, err = ferry{c.origin, "ap-southeast-1"}.RoundTrip(post(t, "never"))
	if !errors.As(err, &unsent) {
		t.Errorf("%v: want an error that says it was not sent", err)
	}
}
