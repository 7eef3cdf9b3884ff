package client

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian"
	"meridian/internal/delay"
)

// nameServer answers for example.com as Meridian's DNS does, and tells which
// networks it was asked for.
func nameServer(t *testing.T) (address string, subnets <-chan string) {
	t.Helper()
	asked := make(chan string, 10)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.SetEdns0(1232, false)
		for _, o := range q.IsEdns0().Option {
			if e, ok := o.(*dns.EDNS0_SUBNET); ok {
				asked <- fmt.Sprintf("%s/%d", e.Address, e.SourceNetmask)
				scoped := *e
				scoped.SourceScope = 24
				m.IsEdns0().Option = append(m.IsEdns0().Option, &scoped)
			}
		}
		record := func(text string) dns.RR {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Error(err)
			}
			return rr
		}
		switch q.Question[0].Name {
		case "example.com.":
			m.Answer = append(m.Answer, record("example.com. 5 IN A 127.0.0.1"))
		case "_region.example.com.":
			m.Answer = append(m.Answer, record(`_region.example.com. 5 IN TXT "us-east-1"`))
			m.Extra = append(m.Extra, record(`_region.example.com. 5 IN TXT "nearest healthy region"`))
		default:
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(answer)}
	served := make(chan error, 1)
	go func() { served <- s.ActivateAndServe() }()
	t.Cleanup(func() { s.Shutdown(); <-served })
	return conn.LocalAddr().String(), asked
}

// door is an edge that says what it was sent. Its certificate is for
// example.com.
func door(t *testing.T) (port string, roots *x509.CertPool) {
	t.Helper()
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Meridian-Region", "us-east-1")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s %s %s %s %q %s", r.Method, r.Host, r.RequestURI, r.Header.Get("X-Mine"), body, r.Header.Get("Traceparent"))
		io.WriteString(w, strings.Repeat(".", 10_000))
	}))
	t.Cleanup(web.Close)
	roots = x509.NewCertPool()
	roots.AddCert(web.Certificate())
	_, port, err := net.SplitHostPort(web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, roots
}

func walk(t *testing.T, target string, line *delay.Line) (Walk, <-chan string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	server, subnets := nameServer(t)
	port, roots := door(t)
	return Walk{
		From: "sa-east-1", Subnet: netip.MustParsePrefix("198.18.4.0/24"), DNS: server, Roots: roots, Port: port, Method: "GET", URL: u,
		EdgeOf: func(ip string) (string, *delay.Line) { return "edge-at-" + ip, line },
	}, subnets
}

func TestAWalkTellsEachStep(t *testing.T) {
	w, subnets := walk(t, "https://example.com/a%2Fb?c=d", nil)
	w.Method, w.Header, w.Body = "POST", http.Header{"X-Mine": {"yes"}}, []byte("hello")
	got, err := w.Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if subnet := <-subnets; subnet != "198.18.4.0/24" {
		t.Errorf("asked for %s", subnet)
	}
	if r := got.Resolve; len(r.Answer) != 1 || r.Answer[0] != "127.0.0.1" || r.Scope != 24 || r.Region != "us-east-1" || r.Why != "nearest healthy region" || r.Took <= 0 {
		t.Errorf("%+v", r)
	}
	if got.Edge != "edge-at-127.0.0.1" || got.Address != "127.0.0.1:"+w.Port || got.Status != 201 || got.Header.Get("Meridian-Region") != "us-east-1" {
		t.Errorf("%+v", got)
	}
	if got.Connect <= 0 || got.TLS <= 0 || got.First <= 0 || got.Total < got.Connect+got.TLS+got.First {
		t.Errorf("connect %v, TLS %v, first byte %v, total %v", got.Connect, got.TLS, got.First, got.Total)
	}
	want := `POST example.com /a%2Fb?c=d yes "hello" 00-` + got.Trace + "-"
	if !strings.HasPrefix(got.Body, want) || len(got.Body) != 4<<10 || !strings.Contains(got.Body[:200], "-01.") {
		t.Errorf("got %d bytes: %.200s\nwant %s", len(got.Body), got.Body, want)
	}
}

// TestAWalkFeelsItsDistance has the client 40 ms away: a round trip to
// connect, one for TLS 1.3, one for the request.
func TestAWalkFeelsItsDistance(t *testing.T) {
	const rtt = 40 * time.Millisecond
	w, _ := walk(t, "https://example.com/", delay.NewLine(rtt, rtt))
	got, err := w.Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for step, took := range map[string]time.Duration{"connect": got.Connect, "TLS": got.TLS, "request": got.First} {
		if took < rtt-time.Millisecond {
			t.Errorf("%s took %v", step, took)
		}
	}
}

func TestAWalkThatFailsSaysWhere(t *testing.T) {
	w, _ := walk(t, "https://example.org/", nil)
	if _, err := w.Do(t.Context()); meridian.KindOf(err) != meridian.NotFound || err.Error() != "example.org has no address: the name server says NXDOMAIN" {
		t.Errorf("%v", err)
	}
	w, _ = walk(t, "https://example.com/", nil)
	w.Roots = x509.NewCertPool()
	if _, err := w.Do(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "TLS with the edge edge-at-127.0.0.1: ") {
		t.Errorf("%v", err)
	}
	w, _ = walk(t, "https://example.com/", nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, w.Port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	if _, err := w.Do(t.Context()); meridian.KindOf(err) != meridian.Unavailable || !strings.HasPrefix(err.Error(), "connect to the edge edge-at-127.0.0.1: ") {
		t.Errorf("%v", err)
	}
}
