package server

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"meridian/internal/handover"
)

// block asks for /x over HTTP/2 with other fields than a client would send, and
// returns the status or "reset", and what the function was asked.
func (p *port) block(fields ...string) string {
	c := p.dial("h2")
	defer c.Close()
	io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	fr.AllowIllegalWrites = true
	fr.WriteSettings()
	all := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/x"}, {":authority", "a"}}
	for i := 0; i < len(fields); i += 2 {
		for j := range all {
			if all[j][0] == fields[i] {
				all[j][1] = fields[i+1]
			}
		}
		if !strings.HasPrefix(fields[i], ":") {
			all = append(all, [2]string{fields[i], fields[i+1]})
		}
	}
	var packed bytes.Buffer
	pack := hpack.NewEncoder(&packed)
	for _, f := range all {
		pack.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: packed.Bytes(), EndHeaders: true, EndStream: true})
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			p.t.Fatalf("%q: %v", fields, err)
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status") + strings.TrimSuffix(" "+strings.TrimSuffix(p.take(), " \"\"\n"), " ")
		case *http2.RSTStreamFrame:
			return "reset"
		case *http2.GoAwayFrame:
			return f.ErrCode.String()
		}
	}
}

// Control, in the same test: some of them are requests without the guards.
func TestABlockOfHeadersIsOneRequestAtTheGatewayToo(t *testing.T) {
	p, bare := newPort(t, true), newPort(t, false)
	taken := 0
	for _, tt := range []struct {
		want   string
		fields []string
	}{
		{"200 GET a /x", nil},
		{"200 GET a:9443 /x", []string{":authority", "a:9443"}},
		{"200 M-SEARCH a /x", []string{":method", "M-SEARCH"}},
		{"400", []string{":method", "GET /admin HTTP/1.1"}},
		{"400", []string{":method", "head"}},
		{"405", []string{":method", "TRACK"}},
		{"405", []string{":method", "TRACE"}},
		{"400", []string{":path", "https://b/x"}},
		{"400", []string{":path", "/x#.css"}},
		{"400", []string{":path", "*"}},
		{"400", []string{":path", "/x y"}},
		{"400", []string{":authority", "a/admin"}},
		{"400", []string{":authority", "a b"}},
		{"400", []string{":authority", "a;b"}},
		{"reset", []string{":authority", "b@a"}},
		{"400", []string{"x", " y"}},
		{"reset", []string{"x", "a\r\nb: c"}},
		{"reset", []string{"x", "a\x00"}},
		{"reset", []string{"te", "gzip"}},
		{"reset", []string{"connection", "close"}},
		{"reset", []string{"transfer-encoding", "chunked"}},
		{"reset", []string{"transfer_encoding", "chunked"}},
		{"reset", []string{"content-length", "3"}},
		{"reset", []string{"content-length", "0", "content-length", "1"}},
		{"reset", []string{"host", "b"}},
	} {
		if got := p.block(tt.fields...); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.fields, got, tt.want)
		}
		if tt.want == "reset" && strings.HasPrefix(bare.block(tt.fields...), "200") {
			taken++
		}
	}
	if taken == 0 {
		t.Error("without the guards none is a request")
	}
}

func TestFloodsEndTheirConnectionAtTheGatewayToo(t *testing.T) {
	p := newPort(t, true)
	for cause, flood := range map[string]func(fr *http2.Framer, i uint32) error{
		"pings": func(fr *http2.Framer, _ uint32) error { return fr.WritePing(false, [8]byte{}) },
		"headers": func(fr *http2.Framer, i uint32) error {
			if i == 0 {
				return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1})
			}
			return fr.WriteContinuation(1, false, nil)
		},
	} {
		c := p.dial("h2")
		io.WriteString(c, http2.ClientPreface)
		fr := http2.NewFramer(c, c)
		fr.AllowIllegalWrites = true
		fr.WriteSettings()
		for i := range uint32(500) {
			if flood(fr, i) != nil {
				break
			}
		}
		var ended *http2.GoAwayFrame
		for ended == nil {
			f, err := fr.ReadFrame()
			if err != nil {
				t.Fatalf("%s: %v", cause, err)
			}
			ended, _ = f.(*http2.GoAwayFrame)
		}
		if n := counted(t, p.metrics, cause); ended.ErrCode != http2.ErrCodeEnhanceYourCalm || n != 1 {
			t.Errorf("%s: %s, %v were counted", cause, ended.ErrCode, n)
		}
	}
}

// What is well said goes through: bodies of either kind, with an expectation and
// trailers, and several requests on one connection; and it is known that TLS was
// spoken.
func TestTheGatewaysPortTakesWhatIsWellSaid(t *testing.T) {
	p := newPort(t, true)
	for _, protocols := range [][2]bool{{true, false}, {false, true}} {
		transport := &http.Transport{TLSClientConfig: p.conf.Clone(), Protocols: new(http.Protocols), ExpectContinueTimeout: time.Second}
		transport.Protocols.SetHTTP1(protocols[0])
		transport.Protocols.SetHTTP2(protocols[1])
		for _, chunked := range []bool{false, true, false} {
			body := strings.Repeat("b", 100<<10)
			req, _ := http.NewRequest("POST", "https://"+p.addr+"/x?y", strings.NewReader(body))
			req.Host = "a"
			req.Header.Set("Expect", "100-continue")
			if chunked {
				req.ContentLength, req.Trailer = -1, http.Header{"X-Sum": {"1"}}
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if got := p.take(); resp.StatusCode != 200 || got != "POST a /x?y \""+body+"\"\n" || resp.Header.Get("X-Saw") != "https" {
				t.Errorf("%v, chunked %v: %s %s, %d bytes", protocols, chunked, resp.Status, resp.Header.Get("X-Saw"), len(got))
			}
		}
		transport.CloseIdleConnections()
	}
}

// A server that stops closes its port, lets what was begun end, and tells clients
// that their connections end.
func TestTheGatewaysPortDrains(t *testing.T) {
	p := newPort(t, true)
	one := p.dial("http/1.1")
	io.WriteString(one, "GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
	two := &http.Transport{TLSClientConfig: p.conf.Clone(), ForceAttemptHTTP2: true}
	defer two.CloseIdleConnections()
	answered := make(chan int, 1)
	go func() {
		req, _ := http.NewRequest("GET", "https://"+p.addr+"/held", nil)
		req.Host = "a"
		resp, err := two.RoundTrip(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	p.until(func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.held == 2 })
	idle := p.dial("http/1.1")
	io.WriteString(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	rest := bufio.NewReader(idle)
	if resp, err := http.ReadResponse(rest, nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("before it stops: %v, %v", resp, err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- p.stop() }()
	p.until(func() bool {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	io.Copy(io.Discard, rest) // an idle connection ends once the server knows that it stops, which may be behind its port
	close(p.hold)
	resp, err := http.ReadResponse(bufio.NewReader(one), nil)
	if err != nil || resp.StatusCode != 200 || !resp.Close {
		t.Errorf("HTTP/1.1: %v, %v", resp, err)
	}
	if got := <-answered; got != 200 {
		t.Errorf("HTTP/2: %d", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// until waits for something.
func (p *port) until(ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			p.t.Fatal("it did not come")
		}
		time.Sleep(time.Millisecond)
	}
}

// Who takes the place of another process serves its socket on; a handshake that
// does not come is cut off, as who does not speak TLS is told.
func TestTheGatewaysPortIsServedOnAnothersSocket(t *testing.T) {
	var sockets handover.Sockets
	l, err := sockets.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newPortAt(t, l, true)
	if got := p.answers("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false); got != "200\n" {
		t.Errorf("%q", got)
	}
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	if text, _ := io.ReadAll(c); !strings.Contains(string(text), "This is the port of HTTPS.") {
		t.Errorf("%q", text)
	}
}
