package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"meridian"
	"meridian/edge/framing"
	"meridian/edge/origin"
	"meridian/gateway"
	"meridian/identity"
)

// Everybody reads a request: the edge, as its own servers hand it out; a gateway,
// which gets it from the edge over HTTP/2; the function, as the event has it; an
// origin of HTTP/1.1, which gets it from the edge and reads it leniently.
type everybody struct {
	*world
	one   *http.Server
	two   *multiplexed
	toOne *entrance

	mu     sync.Mutex // guards what follows
	taken  []taken    // by the edge, in order
	asked  map[string][]reached
	beside []asRead // by the origin
}

// A taken request is one that the edge's servers handed out.
type taken struct {
	asRead
	id    string
	whole bool // its body was read to its end
	ran   bool // somebody behind the edge answered
}

// An reached is what reached a function.
type reached struct{ gateway, event asRead }

// marker is on every response from behind the edge.
const marker = "X-Ran"

const anyRoute = `
openapi: 3.1.0
info: {title: any, version: "1"}
x-meridian-function: any
paths:
  /$default: {x-amazon-apigateway-any-method: {isDefaultRoute: true}}
`

func newEverybody(t testing.TB) *everybody {
	e := &everybody{asked: map[string][]reached{}}
	desk, err := gateway.New(gateway.Config{
		Region: "eu-west-1", Domain: domain, API: []byte(anyRoute), APIPath: "openapi.yaml", Functions: map[string]gateway.FunctionLimits{"any": {}},
	}, gateway.Deps{Invoke: e})
	if err != nil {
		t.Fatal(err)
	}
	g := &region{name: "eu-west-1", serve: func(w http.ResponseWriter, r *http.Request) { e.atGateway(desk.Inner(), w, r) }}
	o := origin.CustomConfig{Name: "beside", URL: &url.URL{Scheme: "http", Host: e.leniently(t)}, HostHeader: "beside"}
	e.world = newWorld(t, []*region{g}, behaviors(o, Behavior{Path: "/o/*", Origin: "beside"}))
	engine := &netHTTP{limits: e.cfg.Limits, timeouts: e.cfg.Timeouts, log: e.deps.Log, now: time.Now}
	e.one, e.two, e.toOne = engine.server(http.HandlerFunc(e.atEdge)), newMultiplexed(engine.server(http.HandlerFunc(e.atEdge))), newEntrance(nil)
	var all sync.WaitGroup
	all.Go(func() { e.one.Serve(e.toOne) })
	t.Cleanup(func() { e.one.Close(); e.two.srv.Close(); all.Wait() })
	return e
}

// atEdge notes what the edge's server made of a request, and has the edge answer.
func (e *everybody) atEdge(w http.ResponseWriter, r *http.Request) {
	x := taken{asRead: asRead{r.Method, r.RequestURI, r.Host, ""}, whole: r.Body == http.NoBody || r.ContentLength == 0}
	b := &noted{ReadCloser: r.Body}
	if !x.whole {
		r.Body = b
	}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		e.mu.Lock()
		defer e.mu.Unlock()
		x.id, x.ran = w.Header().Get("X-Meridian-Request"), w.Header().Get(marker) != ""
		x.body, x.whole = b.text.String(), x.whole || b.ended
		e.taken = append(e.taken, x)
	}()
	e.ServeHTTP(w, r)
}

// A noted body keeps what is read of it.
type noted struct {
	io.ReadCloser
	mu    sync.Mutex // guards what follows
	text  strings.Builder
	ended bool
}

func (b *noted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p[:n])
	b.ended = b.ended || err == io.EOF
	return n, err
}

// atGateway notes what a gateway's server made of a request, if that came whole.
func (e *everybody) atGateway(next http.Handler, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	e.mu.Lock()
	id := r.Header.Get(identity.HeaderRequest)
	e.asked[id] = append(e.asked[id], reached{gateway: asRead{r.Method, r.RequestURI, r.Host, string(body)}})
	e.mu.Unlock()
	next.ServeHTTP(w, r)
}

// Invoke implements gateway.Invoker.
func (e *everybody) Invoke(_ context.Context, in meridian.Invocation) (meridian.Answer, error) {
	var v events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(in.Event, &v); err != nil {
		return meridian.Answer{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.asked[in.ID]
	all[len(all)-1].event = readEvent(v)
	return meridian.Answer{Body: io.NopCloser(strings.NewReader(`{"statusCode":200,"headers":{"` + marker + `":"1","cache-control":"no-store"}}`))}, nil
}

// readEvent writes an event as HTTP/1.1, as adapters for functions do that serve
// it, and reads that as leniently as it can be. A second request in it is part of
// the target that is returned.
func readEvent(v events.APIGatewayV2HTTPRequest) asRead {
	body := v.Body
	if v.IsBase64Encoded {
		raw, _ := base64.StdEncoding.DecodeString(body)
		body = string(raw)
	}
	target := v.RawPath
	if v.RawQueryString != "" {
		target += "?" + v.RawQueryString
	}
	var fields [][2]string
	for name, value := range v.Headers {
		fields = append(fields, [2]string{name, value})
	}
	return wrote(v.RequestContext.HTTP.Method, target, fields, body)
}

// wrote returns how the readers read a request that is written as HTTP/1.1 without
// a look at what is in it.
func wrote(method, target string, fields [][2]string, body string) (r asRead) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", method, target)
	lengths := 0
	for _, f := range fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
		if strings.EqualFold(f[0], "content-length") {
			lengths++
		}
	}
	if lengths == 0 {
		fmt.Fprintf(&b, "content-length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	for i, l := range lenients {
		got := l.read(b.String())
		switch {
		case len(got) != 1:
			return asRead{target: fmt.Sprintf("%d requests (%s) in %q", len(got), l.name, b.String())}
		case i > 0 && got[0] != r:
			return asRead{target: fmt.Sprintf("%q or (%s) %q in %q", r, l.name, got[0], b.String())}
		}
		r = got[0]
	}
	return r
}

// leniently serves HTTP/1.1 at the address that it returns, with the reader that
// has every habit.
func (e *everybody) leniently(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { e.answerAll(c) })
		}
	})
	t.Cleanup(func() { l.Close() }) // connections end with the edge's
	return l.Addr().String()
}

func (e *everybody) answerAll(c net.Conn) {
	defer c.Close()
	var text string
	p := make([]byte, 4<<10)
	for {
		n, err := c.Read(p)
		if err != nil {
			return
		}
		text += string(p[:n])
		r, rest, ok := lenients[len(lenients)-2].one(text)
		if !ok {
			continue
		}
		text = rest
		e.mu.Lock()
		e.beside = append(e.beside, r)
		e.mu.Unlock()
		io.WriteString(c, "HTTP/1.1 200 OK\r\n"+marker+": 1\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n")
	}
}

// A script is the connection of a client that has said all it will.
type script struct {
	net.Conn // nil
	done     chan struct{}

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	text    string
	said    []byte
	patient bool // who reads after the end waits: it only looks whether the client is there
	past    bool // the deadline
	closed  bool
	told    func(*script) // is called after each write, with mu held
}

func newScript(text string) *script {
	s := &script{text: text, done: make(chan struct{})}
	s.changed.L = &s.mu
	return s
}

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, net.ErrClosed
		case s.past:
			return 0, os.ErrDeadlineExceeded
		case s.text != "":
			n := copy(p, s.text)
			s.text = s.text[n:]
			return n, nil
		case !s.patient:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	s.said = append(s.said, p...)
	if s.told != nil {
		s.told(s)
	}
	return len(p), nil
}

func (s *script) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.changed.Broadcast()
}

func (s *script) Close() error {
	s.set(func() {
		if !s.closed {
			close(s.done)
		}
		s.closed = true
	})
	return nil
}

func (s *script) SetReadDeadline(t time.Time) error {
	s.set(func() { s.past = !t.IsZero() && t.Before(time.Now()) })
	return nil
}

func (s *script) SetDeadline(t time.Time) error        { return s.SetReadDeadline(t) }
func (s *script) SetWriteDeadline(time.Time) error     { return nil }
func (s *script) ConnectionState() tls.ConnectionState { return tls.ConnectionState{} }
func (s *script) RemoteAddr() net.Addr                 { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (s *script) LocalAddr() net.Addr                  { return s.RemoteAddr() }

// A looked connection tells the reads by which net/http looks whether the client
// is still there, which are of one byte, from those of a request.
type looked struct {
	net.Conn
	s *script
}

func (l looked) Read(p []byte) (int, error) {
	if len(p) == 1 {
		l.s.set(func() { l.s.patient = true })
		defer l.s.set(func() { l.s.patient = false })
	}
	return l.Conn.Read(p)
}

// begin forgets what was noted.
func (e *everybody) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken, e.beside = nil, nil
	clear(e.asked)
}

// overOne has the edge read a text as HTTP/1.1.
func (e *everybody) overOne(text string, guarded bool) {
	e.begin()
	s := newScript(text)
	var c net.Conn = s
	if guarded {
		c = framing.NewH1(s, framing.Config{Header: e.cfg.Limits.Header})
	}
	e.toOne.ready <- looked{c, s}
	<-s.done
}

// agree demands that all who stand behind the edge read what it read.
func (e *everybody) agree(t *testing.T) []taken {
	t.Helper()
	(&world{t: t, log: e.log}).until("what was asked is noted", func() bool { // the edge's handler may end after its connection
		e.mu.Lock()
		defer e.mu.Unlock()
		for id := range e.asked {
			if !slices.ContainsFunc(e.taken, func(x taken) bool { return x.id == id }) {
				return false
			}
		}
		return true
	})
	all := e.noted()
	e.mu.Lock()
	defer e.mu.Unlock()
	var beside []asRead
	for _, x := range all {
		want := x.asRead
		if want.host == "" {
			want.host = domain // HTTP/1.0 need not say it
		}
		if want.target = originForm(x.target); !x.ran {
			if len(e.asked[x.id]) > 0 && e.asked[x.id][0].event != (asRead{}) {
				t.Errorf("%v ran, and its answer did not come through", x)
			}
			continue
		}
		if !x.whole {
			t.Errorf("ran without the end of its body: %v", x)
		}
		if len(e.asked[x.id]) == 0 {
			want.host = "beside"
			beside = append(beside, want)
			continue
		}
		if got := e.asked[x.id]; len(got) != 1 || got[0].gateway != want || got[0].event != forEvent(want) {
			t.Errorf("the edge took %q\nthe gateway %q\nthe event %q", want, got[0].gateway, got[0].event)
		}
	}
	if !slices.Equal(beside, e.beside) {
		t.Errorf("the edge took %q\nthe origin beside it %q", beside, e.beside)
	}
	return all
}

func (e *everybody) noted() []taken {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.taken)
}

// originForm cuts off a scheme and an authority (RFC 9112, section 3.2.2).
func originForm(target string) string {
	if _, after, ok := strings.Cut(target, "://"); ok && target[0] != '/' {
		if target = after[cutAt(after, "/?"):]; target == "" || target[0] == '?' {
			target = "/" + target
		}
	}
	return target
}

// forEvent is a request as events have it: they do not tell a query that is
// empty from none, and JSON has no bytes that are not UTF-8.
func forEvent(r asRead) asRead {
	r.target = string([]rune(strings.TrimSuffix(r.target, "?")))
	r.host = string([]rune(r.host))
	return r
}

// misread returns what a lenient reader makes of the requests that the edge took,
// if one reads them in another way; else "".
func misread(text string, all []taken) string {
	for _, l := range lenients {
		got := slices.DeleteFunc(l.read(text), func(r asRead) bool { return r.method == http.MethodOptions && r.target == "*" }) // net/http answers it itself
		for i, x := range all {
			if !x.whole && i == len(all)-1 { // it may have been refused in its middle
				break
			}
			if i >= len(got) || got[i].method != x.method || got[i].target != x.target || got[i].host != x.host || x.whole && got[i].body != x.body {
				return fmt.Sprintf("%q: the edge took %v, a reader (%s) %q", text, all[:i+1], l.name, got)
			}
		}
	}
	return ""
}

// seeds adds what the scripts of testdata/smuggling send.
func seeds(f *testing.F, add func(string)) {
	files, err := filepath.Glob("testdata/smuggling/*")
	if err != nil || len(files) == 0 {
		f.Fatal("no scripts", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		text := ""
		for line := range strings.Lines(string(raw) + "\n") {
			s, err := strconv.Unquote(strings.TrimSpace(line))
			if err == nil && strings.HasPrefix(line, `"`) {
				text += s
			} else if text != "" {
				add(text)
				text = ""
			}
		}
	}
}

// FuzzOneReading: what the edge takes of the bytes of a connection is read alike
// by net/http, the gateway, the event, an origin of HTTP/1.1 and every lenient
// reader: as many requests, each with the same method, target, host and body.
func FuzzOneReading(f *testing.F) {
	seeds(f, func(s string) {
		f.Add(s)
		f.Add(strings.ReplaceAll(s, " /", " /o/"))
	})
	f.Add("POST /a HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
	f.Add("POST /o/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nGET /o/?a?b HTTP/1.1\r\nHost: b\r\n\r\n")
	e := newEverybody(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 8<<10 {
			return
		}
		e.overOne(text, true)
		if why := misread(text, e.agree(t)); why != "" {
			t.Error(why)
		}
	})
}

// TestWithoutTheGuardReadersDiffer is the control: what net/http alone takes
// others read in another way, and the comparison says so.
func TestWithoutTheGuardReadersDiffer(t *testing.T) {
	const get = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	e := newEverybody(t)
	for _, head := range []string{
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"X: y\n Content-Length: 0\nContent-Length: 35\n\n",
	} {
		text := "POST /a HTTP/1.1\r\nHost: a\r\n" + head + get
		for _, guarded := range []bool{true, false} {
			e.overOne(text, guarded)
			if why := misread(text, e.noted()); (why != "") == guarded {
				t.Errorf("guarded %v: %q: %q", guarded, text, why)
			}
		}
	}
}

// A block is what a client of HTTP/2 sends on one stream.
type blocks struct {
	fields   [][2]string
	body     string
	trailers [][2]string
}

// Between two fields, and a name and its value, in the inputs of the fuzz target:
// bytes that no valid field has.
const (
	fieldEnd = "\xff"
	nameEnd  = "\xfe"
)

func fieldsOf(text string) (out [][2]string) {
	for f := range strings.SplitSeq(text, fieldEnd) {
		if name, value, ok := strings.Cut(f, nameEnd); ok {
			out = append(out, [2]string{name, value})
		}
	}
	return out
}

func textOf(fields ...string) string {
	var all []string
	for i := 0; i < len(fields); i += 2 {
		all = append(all, fields[i]+nameEnd+fields[i+1])
	}
	return strings.Join(all, fieldEnd)
}

// frames writes a conversation of one request.
func (b blocks) frames() string {
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	fr := http2.NewFramer(&out, nil)
	fr.AllowIllegalWrites = true
	fr.WriteSettings()
	var block bytes.Buffer
	pack := hpack.NewEncoder(&block)
	write := func(fields [][2]string, end bool) {
		block.Reset()
		for _, f := range fields {
			pack.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
	}
	write(b.fields, b.body == "" && b.trailers == nil)
	if b.body != "" {
		fr.WriteData(1, b.trailers == nil, []byte(b.body))
	}
	if b.trailers != nil {
		write(b.trailers, true)
	}
	return out.String()
}

// overTwo has the edge read one request as HTTP/2.
func (e *everybody) overTwo(b blocks) {
	e.begin()
	s := newScript(b.frames())
	s.patient = true
	var at int
	s.told = func(s *script) { // the client leaves when it has its answer
		for len(s.said)-at >= 9 {
			head := s.said[at:]
			at += 9 + int(binary.BigEndian.Uint32(head)>>8)
			typ, stream := http2.FrameType(head[3]), binary.BigEndian.Uint32(head[5:])
			end := (typ == http2.FrameHeaders || typ == http2.FrameData) && http2.Flags(head[4]).Has(http2.FlagDataEndStream)
			if typ == http2.FrameGoAway || stream == 1 && (end || typ == http2.FrameRSTStream) {
				s.patient = false
				s.changed.Broadcast()
			}
		}
	}
	guarded := framing.NewH2(s, framing.Config{Header: e.cfg.Limits.Header})
	e.two.run(guarded, guarded.Begin())
	s.Close()
}

// FuzzOneReadingOfHTTP2: what the edge takes of a block of headers is one request
// for the gateway, the event, an origin of HTTP/1.1, and for each lenient reader
// of what it would be in HTTP/1.1, if it were written so without a look at it.
func FuzzOneReadingOfHTTP2(f *testing.F) {
	plain := func(more ...string) string {
		return textOf(append([]string{":method", "POST", ":scheme", "https", ":path", "/a?b", ":authority", "a"}, more...)...)
	}
	for _, more := range [][]string{
		{}, {"x", "y"}, {"content-length", "3"}, {"content-length", "2"}, {"content-length", "03"}, {"Content-Length", "0"}, {"content_length", "0"}, {"transfer_encoding", "chunked"},
		{"x", "y\r\ncontent-length: 0"}, {"x\r\ncontent-length: 0\r\ny", "z"}, {"x:y", "z"}, {"x ", "y"}, {"x", "y\x00"}, {"host", "b"}, {"host", "A"}, {"connection", "x"}, {"te", "trailers"},
		{":path", "/b"}, {":path", "/b HTTP/1.1\r\nx: y"}, {"x", " y "}, {"", "x"}, {"expect", "100-continue"}, {"cookie", "a=b"}, {"cookie", "c=d"},
	} {
		f.Add(plain(more...), "abc", "")
		f.Add(plain(more...), "", "")
		f.Add(strings.Replace(plain(more...), "/a", "/o/a", 1), "abc", textOf("x", "y"))
	}
	for _, path := range []string{"", "*", "a", "/a b", "https://b/c", "//b/c", "/a\r\nx: y", "/a#b", "/\x7f", "?"} {
		f.Add(textOf(":method", "GET", ":scheme", "https", ":path", path, ":authority", "a"), "", "")
	}
	f.Add(textOf(":method", "G ET / HTTP/1.1\r\nHost: b\r\n\r\n", ":scheme", "https", ":path", "/", ":authority", "a"), "", "")
	f.Add(textOf(":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a b"), "", "")
	f.Add(textOf(":method", "GET", ":scheme", "https", ":path", "/", "host", "b"), "", "")
	e := newEverybody(f)
	f.Fuzz(func(t *testing.T, fields, body, trailers string) {
		b := blocks{fieldsOf(fields), body, fieldsOf(trailers)}
		if len(fields)+len(body)+len(trailers) > 8<<10 {
			return
		}
		e.overTwo(b)
		all := e.agree(t)
		if len(all) > 1 {
			t.Fatalf("one stream is %v", all)
		}
		for _, x := range all {
			if x.ran && len(b.fields) > 0 {
				b.seenAs(t, x)
			}
		}
	})
}

// seenAs demands that a request that ran is what its fields say.
func (b blocks) seenAs(t *testing.T, x taken) {
	t.Helper()
	pseudo := map[string]string{}
	var regular [][2]string
	for _, f := range b.fields {
		if strings.HasPrefix(f[0], ":") {
			pseudo[f[0]] = f[1]
		} else if f[0] != "host" {
			regular = append(regular, f)
		} else if pseudo[":authority"] == "" {
			pseudo[":authority"] = f[1]
		}
	}
	want := asRead{pseudo[":method"], pseudo[":path"], pseudo[":authority"], b.body}
	regular = append(regular, [2]string{"host", want.host})
	if got := wrote(want.method, want.target, regular, b.body); got != want || x.asRead != want {
		t.Errorf("fields %q:\nthe edge took %q\na reader %q", b.fields, x.asRead, got)
	}
	for _, f := range b.trailers {
		if got := wrote("GET", "/", append([][2]string{{"host", "a"}}, f), ""); got != (asRead{"GET", "/", "a", ""}) {
			t.Errorf("a trailer %q: %q", f, got)
		}
	}
}
