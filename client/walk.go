package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"time"

	"github.com/miekg/dns"

	"meridian"
	"meridian/internal/delay"
)

// A Walk is one request, made as a client at a place would make it.
type Walk struct {
	From   string         // the place of the client
	Subnet netip.Prefix   // its network, told to DNS as Client Subnet (RFC 7871)
	DNS    string         // the name server, host:port
	Roots  *x509.CertPool // of the edge's certificate
	Port   string         // of the edge, where URL names none
	Method string
	URL    *url.URL
	Header http.Header
	Body   []byte
	EdgeOf func(ip string) (name string, line *delay.Line) // whose address DNS gave
}

// A Walked is what a Walk met. Spans are what the nodes kept of it.
type Walked struct {
	Trace   string        `json:"trace"`
	Parent  string        `json:"-"` // of the first edge's span: the client
	From    string        `json:"from"`
	Method  string        `json:"method"`
	URL     string        `json:"url"`
	Resolve Resolved      `json:"dns"`
	Edge    string        `json:"edge"`
	Address string        `json:"address"`
	Connect time.Duration `json:"connect"` // TCP
	TLS     time.Duration `json:"tls"`
	First   time.Duration `json:"first_byte"` // from the request's end to the answer's first byte
	Total   time.Duration `json:"total"`
	Status  int           `json:"status"`
	Header  http.Header   `json:"header"`
	Body    string        `json:"body"` // its first 4 KiB
	Spans   []Span        `json:"spans"`
}

// A Resolved is an answer of the name server.
type Resolved struct {
	Server string        `json:"server"`
	Took   time.Duration `json:"took"`
	Answer []string      `json:"answer"`
	Scope  uint8         `json:"scope"`            // of Client Subnet
	Region string        `json:"region,omitempty"` // what _region.<domain> names
	Why    string        `json:"why,omitempty"`    // and its reason
}

// Do makes the request. Each step's time is the client's own.
func (w Walk) Do(ctx context.Context) (*Walked, error) {
	out := &Walked{Trace: randomHex(16), Parent: randomHex(8), From: w.From, Method: w.Method, URL: w.URL.String()}
	resolved, err := w.resolve(ctx, w.URL.Hostname())
	if err != nil {
		return nil, err
	}
	out.Resolve = *resolved
	var line *delay.Line
	out.Edge, line = w.EdgeOf(resolved.Answer[0])
	port := w.URL.Port()
	if port == "" {
		port = w.Port
	}
	out.Address = net.JoinHostPort(resolved.Answer[0], port)
	return out, w.request(ctx, out, line)
}

// request sends the one request over a fresh connection.
func (w Walk) request(ctx context.Context, out *Walked, line *delay.Line) error {
	begin := time.Now()
	conn, close, err := dial(ctx, out.Address, line)
	if err != nil {
		return meridian.WithKind(meridian.Unavailable, fmt.Errorf("connect to the edge %s: %w", out.Edge, err))
	}
	defer close()
	out.Connect = time.Since(begin)

	shaking := time.Now()
	secure := tls.Client(conn, &tls.Config{ServerName: w.URL.Hostname(), RootCAs: w.Roots, NextProtos: []string{"http/1.1"}})
	if err := secure.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS with the edge %s: %w", out.Edge, err)
	}
	out.TLS = time.Since(shaking)

	var wrote, first time.Time
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { wrote = time.Now() },
		GotFirstResponseByte: func() { first = time.Now() },
	})
	req, err := http.NewRequestWithContext(ctx, w.Method, w.URL.String(), bytes.NewReader(w.Body))
	if err != nil {
		return err
	}
	if req.Header = w.Header.Clone(); req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("Traceparent", fmt.Sprintf("00-%s-%s-01", out.Trace, out.Parent))
	transport := &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return secure, nil }, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("request to the edge %s: %w", out.Edge, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	io.Copy(io.Discard, resp.Body)
	out.First, out.Total = first.Sub(wrote), time.Since(begin)
	out.Status, out.Header, out.Body = resp.StatusCode, resp.Header, string(body)
	return nil
}

// dial connects over the line, or at once where there is none.
func dial(ctx context.Context, address string, line *delay.Line) (net.Conn, func(), error) {
	var d net.Dialer
	if line == nil {
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, nil, err
		}
		return c, func() { c.Close() }, nil
	}
	g := delay.NewGroup(delay.NewClock())
	c, err := g.Dial(ctx, line, func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) })
	if err != nil {
		g.Close()
		return nil, nil, err
	}
	return c, g.Close, nil
}

// resolve asks the name server for the host's address, and for the region that
// it would send this client to.
func (w Walk) resolve(ctx context.Context, host string) (*Resolved, error) {
	out := &Resolved{Server: w.DNS}
	begin := time.Now()
	m, err := w.ask(ctx, host, dns.TypeA)
	if err != nil {
		return nil, err
	}
	out.Took = time.Since(begin)
	for _, rr := range m.Answer {
		if a, ok := rr.(*dns.A); ok {
			out.Answer = append(out.Answer, a.A.String())
		}
	}
	if len(out.Answer) == 0 {
		return nil, meridian.WithKind(meridian.NotFound, fmt.Errorf("%s has no address: the name server says %s", host, dns.RcodeToString[m.Rcode]))
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_SUBNET); ok {
				out.Scope = e.SourceScope
			}
		}
	}
	if m, err := w.ask(ctx, "_region."+host, dns.TypeTXT); err == nil {
		out.Region, out.Why = firstText(m.Answer), firstText(m.Extra)
	}
	return out, nil
}

func (w Walk) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	q.SetEdns0(1232, false)
	if w.Subnet.IsValid() {
		o := q.IsEdns0()
		o.Option = append(o.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(w.Subnet.Bits()), Address: w.Subnet.Addr().AsSlice()})
	}
	m, _, err := new(dns.Client).ExchangeContext(ctx, q, w.DNS)
	if err != nil {
		return nil, meridian.WithKind(meridian.Unavailable, fmt.Errorf("ask the name server %s for %s: %w", w.DNS, name, err))
	}
	return m, nil
}

func firstText(rrs []dns.RR) string {
	for _, rr := range rrs {
		if t, ok := rr.(*dns.TXT); ok && len(t.Txt) > 0 {
			return t.Txt[0]
		}
	}
	return ""
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
