package edge

//lint:file-ignore SA1019 the transport of net/http refuses CONNECT with :protocol

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"

	"meridian/edge/cache"
	"meridian/edge/waf"
)

// A leaver is a viewer with a connection of its own, which it can cut.
type leaver struct {
	http.RoundTripper
	cut func()
}

// leaver returns a new one of a protocol.
func (w *world) leaver(proto string) *leaver {
	https, _ := w.Addrs()
	conf := &tls.Config{RootCAs: w.roots, ServerName: domain}
	if proto == "h3" {
		tr := &http3.Transport{TLSClientConfig: conf, Dial: func(ctx context.Context, _ string, conf *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, https.String(), conf, q)
		}}
		return &leaver{tr, func() { tr.Close() }}
	}
	var mu sync.Mutex // guards conns
	var conns []net.Conn
	dial := func(ctx context.Context, next string) (net.Conn, error) {
		conf := conf.Clone()
		conf.NextProtos = []string{next}
		c, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", https.String())
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, c)
		}
		return c, err
	}
	l := &leaver{cut: func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.(*tls.Conn).NetConn().Close()
		}
	}}
	if proto == "h2" {
		l.RoundTripper = &http2.Transport{DisableCompression: true, DialTLSContext: func(ctx context.Context, _, _ string, _ *tls.Config) (net.Conn, error) { return dial(ctx, "h2") }}
	} else {
		l.RoundTripper = &http.Transport{DisableCompression: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "http/1.1") }}
	}
	return l
}

// endless is an origin whose answers and appetite never end. It says of each
// request when it is there.
func endless(began chan<- string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			ws, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer ws.CloseNow()
			began <- r.URL.Path
			ws.Read(context.Background())
			return
		}
		kind := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		w.Header().Set("Content-Type", "text/plain")
		switch kind {
		case "stored", "range":
			w.Header().Set("Cache-Control", "max-age=60")
		case "events":
			w.Header().Set("Content-Type", "text/event-stream")
		}
		if kind == "range" {
			w.Header().Set("Content-Range", "bytes 5-99999999/100000000")
			w.WriteHeader(http.StatusPartialContent)
		}
		began <- r.URL.Path
		switch kind {
		case "upload":
			io.Copy(io.Discard, r.Body)
		case "events", "part":
			io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
		case "download", "stored", "range":
			for chunk := bytes.Repeat([]byte("x"), 32<<10); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
		<-r.Context().Done()
	}
}

// createdBy finds, in the stack of a goroutine, what began it.
var createdBy = regexp.MustCompile(`created by (\S+)`)

// goroutines counts what runs, by what began it.
func goroutines() (all map[string]int) {
	b := make([]byte, 64<<20)
	b = b[:runtime.Stack(b, true)]
	all = map[string]int{}
	for g := range strings.SplitSeq(string(b), "\n\n") {
		if m := createdBy.FindStringSubmatch(g); m != nil {
			all[m[1]]++
		}
	}
	return all
}

// more returns what runs beyond what ran.
func more(now, before map[string]int) (out []string) {
	for what, n := range now {
		if n > before[what] {
			out = append(out, fmt.Sprintf("%d of %s", n-before[what], what))
		}
	}
	slices.Sort(out)
	return out
}

// A departure is one kind of request in which a viewer may leave.
type departure struct {
	name, path string
	header     []string
	body       bool // which does not end
	unseen     bool // no origin hears of it
	shared     bool // all ask for the same
	socket     bool // it is a WebSocket
}

var departures = []departure{
	{name: "a head that is waited for", path: "/open/wait"},
	{name: "an upload", path: "/open/upload", body: true},
	{name: "a download that nobody reads", path: "/open/download"},
	{name: "events", path: "/open/events"},
	{name: "a download that is stored", path: "/open/stored"},
	{name: "a download that is shared", path: "/open/stored", shared: true},
	{name: "a head that many wait for", path: "/open/wait", shared: true},
	{name: "a range", path: "/open/range", header: []string{"Range", "bytes=5-"}},
	{name: "a body that is encoded", path: "/open/part", header: []string{"Accept-Encoding", "gzip, br, zstd"}},
	{name: "a body that the firewall waits for", path: "/wall/upload", body: true, unseen: true, header: []string{"Content-Type", "application/json"}},
	{name: "behind a function", path: "/fn/wait"},
	{name: "an answer for a function", path: "/fn/events"},
	{name: "a head of an origin beside", path: "/side/wait"},
	{name: "an upload to an origin beside", path: "/side/upload", body: true},
	{name: "a download of an origin beside", path: "/side/download"},
	{name: "a call of gRPC", path: "/side/events", body: true, header: []string{"Content-Type", "application/grpc", "Te", "trailers"}},
	{name: "a WebSocket", path: "/side/socket", socket: true},
}

// TestNothingRemainsOfWhoLeaves has viewers leave amid each kind of request, by
// each protocol, by giving the request up and by cutting the connection: then the
// edge runs what it ran before, and all that it counts is nothing. Control, in the
// same test: while they are there it runs more.
func TestNothingRemainsOfWhoLeaves(t *testing.T) {
	began := make(chan string, 1000)
	_, o := stranger(t, false, endless(began))
	wall, err := waf.New(waf.Config{})
	if err != nil {
		t.Fatal(err)
	}
	store := cache.Default()
	w := newWorld(t, []*region{{name: "eu-west-1", serve: endless(began)}}, behaviors(o,
		Behavior{Path: "/open/*", Cache: &store}, Behavior{Path: "/wall/*", Guard: Guard{WAF: wall}},
		Behavior{Path: "/fn/*", Functions: Functions{ViewerRequest: "f", ViewerResponse: "f"}}, Behavior{Path: "/side/*", Origin: "assets"},
	), func(c *Config, d *Deps, w *world) {
		running(map[string]string{"f": "function handler(e) { return e.response || e.request; }"}, c.Behaviors...)(c, d, w)
	})
	w.stays(t, began)
}

// stays tries each departure by each protocol.
func (w *world) stays(t *testing.T, began chan string) {
	for _, proto := range []string{"h1", "h2", "h3"} {
		for _, d := range departures {
			if d.socket && proto == "h3" {
				continue // see tunnel3_test.go
			}
			for _, how := range []string{"gives up", "is cut off"} {
				t.Run(proto+" "+d.name+" "+how, func(t *testing.T) { w.stay(t, proto, d, how == "is cut off", began) })
			}
		}
	}
}

// stay compares what runs before and after viewers were there.
func (w *world) stay(t *testing.T, proto string, d departure, cut bool, began chan string) {
	until := (&world{t: t, log: w.log}).until
	w.depart(t, proto, d, cut, began, 1, func() {}) // so that there are connections to the origin
	before := goroutines()
	w.depart(t, proto, d, cut, began, 8, func() {
		if len(more(goroutines(), before)) == 0 {
			t.Error("nothing more runs while viewers are there")
		}
	})
	until("nobody is counted", func() bool {
		return w.inFlight() == 0 && w.crowd.count() == 0 && w.cache.Waiting() == 0 && w.compress.Flying() == 0 && testutil.ToFloat64(w.metrics.tunnels) == 0
	})
	var left []string
	defer func() { t.Log(strings.Join(left, "; ")) }()
	until("as before", func() bool { left = more(goroutines(), before); return len(left) == 0 })
}

// inFlight returns how many requests the edge is answering.
func (w *world) inFlight() int { return int(testutil.ToFloat64(w.metrics.inFlight)) }

// depart has n viewers ask at once, and leave once they were heard.
func (w *world) depart(t *testing.T, proto string, d departure, cut bool, began chan string, n int, there func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	var viewers []*leaver
	for i := range n {
		if d.shared {
			i = 0
		}
		at := strings.LastIndex(d.path, "/")
		l := w.leaver(proto)
		viewers = append(viewers, l)
		d.ask(ctx, &all, l, fmt.Sprintf("%s%s/%s-%d-%d%s", w.url, d.path[:at], url.QueryEscape(t.Name()), n, i, d.path[at:]))
	}
	until := (&world{t: t, log: w.log}).until
	switch {
	case d.shared:
		<-began
		fallthrough
	case d.unseen:
		until("all have come", func() bool { return w.inFlight() >= n })
	default:
		for range n {
			<-began
		}
	}
	there()
	if cut {
		for _, l := range viewers {
			l.cut()
		}
	}
	cancel()
	all.Wait()
	for _, l := range viewers {
		l.cut()
	}
}

// ask sends one request, whose answer is not read.
func (d departure) ask(ctx context.Context, all *sync.WaitGroup, l *leaver, url string) {
	if d.socket {
		all.Go(func() { l.tunnel(ctx, url) })
		return
	}
	method, body := "GET", io.Reader(nil)
	if d.body {
		pr, pw := io.Pipe()
		method, body = "POST", pr
		all.Go(func() {
			io.WriteString(pw, `{"a": "`)
			<-ctx.Done()
			pw.CloseWithError(ctx.Err())
		})
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(d.header); i += 2 {
		req.Header.Set(d.header[i], d.header[i+1])
	}
	all.Go(func() {
		if resp, err := l.RoundTrip(req); err == nil {
			<-ctx.Done()
			resp.Body.Close()
		}
	})
}

// tunnel opens a WebSocket, on which nothing is said.
func (l *leaver) tunnel(ctx context.Context, url string) {
	c := &http.Client{Transport: l}
	if tr, ok := l.RoundTripper.(*http2.Transport); ok {
		c.Transport = &extended{tr}
	}
	if ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: c}); err == nil {
		<-ctx.Done()
		ws.CloseNow()
	}
}
