package backbone

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"meridian"
)

const ms = time.Millisecond

// between checks that something took about as long as it should: never less,
// and on a busy machine somewhat more.
func between(t *testing.T, what string, took, least, most time.Duration) {
	t.Helper()
	if took < least || took > most {
		t.Errorf("%s took %v, want %v to %v", what, took, least, most)
	}
}

func TestDistanceIsPaidOncePerStream(t *testing.T) {
	w := newWorld(t, 60*ms, "gru", "fra")
	fra := w.nodes["fra"]
	start := time.Now()
	c, err := fra.Open(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	between(t, "the first Open, TCP and TLS,", time.Since(start), 120*ms, 250*ms)
	hear(t, c, 4)

	start = time.Now()
	c, err = fra.Open(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	between(t, "Open on a warm link", time.Since(start), 0, 30*ms)
	if got := say(t, c, "x"); got != "f" { // of the greeting "fra:x"
		t.Errorf("first byte = %q", got)
	}
	between(t, "one exchange on a new stream", time.Since(start), 60*ms, 110*ms)
}

func TestWithinAPlaceThereIsNoDistance(t *testing.T) {
	w := newWorld(t, 200*ms, "gru", "gru/edge")
	start := time.Now()
	c, err := w.nodes["gru/edge"].Open(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	hear(t, c, 9)
	between(t, "an exchange within a place", time.Since(start), 0, 150*ms)
}

func TestCutActsOnLiveConnectionsAndHealMendsThem(t *testing.T) {
	w := newWorld(t, 20*ms, "gru", "fra")
	c, err := w.nodes["fra"].Dial(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hear(t, c, 4)
	w.links.Set("gru", "fra", Fault{Cut: true})
	if _, err := io.WriteString(c, "lost?"); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(100 * ms))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read across a cut = %v", err)
	}
	start := time.Now()
	_, err = w.nodes["fra"].Dial(t.Context(), "gru", "echo")
	if meridian.KindOf(err) != meridian.Unavailable {
		t.Errorf("Dial across a cut = %v", err)
	}
	between(t, "Dial across a cut", time.Since(start), time.Second, 1500*ms)
	c.SetReadDeadline(time.Time{})
	w.links.Clear()
	if got := hear(t, c, 5); got != "lost?" {
		t.Errorf("after the cut = %q", got)
	}
}

// A one-way fault lies in one direction, whoever dialed.
func TestOneWayFaultIsSeenFromBothEnds(t *testing.T) {
	links := NewLinks(func(node string) meridian.Region { return meridian.Region(node) }, func(a, b meridian.Region) (p50, p90 time.Duration) { return ms, ms })
	before := links.line("fra", "gru")
	links.Set("gru", "fra", Fault{Mute: true})
	for _, c := range []struct {
		from, to string
		want     Fault
	}{{"gru", "fra", Fault{Mute: true}}, {"fra", "gru", Fault{Deaf: true}}} {
		if got := links.line(c.from, c.to).Fault(); got != c.want {
			t.Errorf("from %s to %s: %+v, want %+v", c.from, c.to, got, c.want)
		}
	}
	if got := before.Fault(); !got.Deaf {
		t.Errorf("a line that stood: %+v", got)
	}
}

// Who waits for an answer learns soon that its link is dead, and who only
// listens a little later.
func TestCutLinkIsKnownDeadAndComesBack(t *testing.T) {
	w := newWorld(t, 20*ms, "gru", "fra", "iad")
	asks, err := w.nodes["fra"].Open(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	listens, err := w.nodes["iad"].Open(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	hear(t, asks, 4)
	hear(t, listens, 4)
	w.links.Set("fra", "gru", Fault{Cut: true})
	w.links.Set("iad", "gru", Fault{Cut: true})
	io.WriteString(asks, "anybody there?")
	start := time.Now()
	for _, tt := range []struct {
		who  string
		conn net.Conn
		most time.Duration
	}{{"who asks", asks, 3500 * ms}, {"who listens", listens, 5500 * ms}} {
		if _, err := tt.conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: Read on a cut link = %v", tt.who, err)
		}
		between(t, "a dead link, for "+tt.who+",", time.Since(start), time.Second, tt.most)
	}
	w.links.Clear()
	c, err := openWithin(w.nodes["fra"].Open, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	hear(t, c, 4)
}

func TestExtraDelayActsOnLiveConnections(t *testing.T) {
	w := newWorld(t, 20*ms, "gru", "fra")
	c, err := w.nodes["fra"].Open(t.Context(), "gru", "echo")
	if err != nil {
		t.Fatal(err)
	}
	hear(t, c, 4)
	w.links.Set("gru", "fra", Fault{Extra: 200 * ms})
	start := time.Now()
	say(t, c, "slow")
	between(t, "an exchange on a slow link", time.Since(start), 220*ms, 320*ms)
}

func TestFaultOfBeforeTheFirstDialHolds(t *testing.T) {
	w := newWorld(t, 20*ms, "gru", "fra")
	w.links.Set("gru", "fra", Fault{Cut: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*ms)
	defer cancel()
	if _, err := w.nodes["fra"].Open(ctx, "gru", "echo"); meridian.KindOf(err) != meridian.Timeout {
		t.Errorf("Open = %v (%s)", err, meridian.KindOf(err))
	}
}

// A stream carries more than its distance times the default window would let
// it: 8 MiB over 100 ms.
func TestBulkFillsALongPath(t *testing.T) {
	w := newWorld(t, 100*ms, "gru", "fra")
	sent := make([]byte, 8<<20)
	rand.Read(sent)
	for name, open := range map[string]opener{"Dial": w.nodes["fra"].Dial, "Open": w.nodes["fra"].Open} {
		c, err := open(t.Context(), "gru", "echo")
		if err != nil {
			t.Fatal(err)
		}
		hear(t, c, 4)
		start := time.Now()
		go c.Write(sent)
		h := sha256.New()
		if _, err := io.CopyN(h, c, int64(len(sent))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		between(t, "8 MiB there and back by "+name, time.Since(start), 100*ms, 4*time.Second)
		if [32]byte(h.Sum(nil)) != sha256.Sum256(sent) {
			t.Errorf("%s: other bytes came back", name)
		}
		c.Close()
	}
}

// The edge speaks HTTP/2 to the gateway with prior knowledge, on connections
// that net/http must take for plain ones.
func TestHTTP2OverTheBackbone(t *testing.T) {
	w := newWorld(t, 0, "gru", "fra")
	gru, err := New(w.nodes["gru"].cfg, w.nodes["gru"].deps)
	if err != nil {
		t.Fatal(err)
	}
	gru.deps.Listener = listen(t, "127.0.0.1:0")
	srv := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.Proto) })}
	srv.Protocols.SetUnencryptedHTTP2(true)
	ln := gru.Listener("gateway")
	go srv.Serve(ln)
	defer srv.Close()
	run(t, gru)
	w.nodes["fra"].peers["gru"] = Peer{Node: "gru", Addr: gru.deps.Listener.Addr().String()}

	tr := &http.Transport{Protocols: srv.Protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return w.nodes["fra"].Dial(ctx, "gru", "gateway")
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://api.example.test/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "HTTP/2.0" {
		t.Errorf("spoke %s", body)
	}
}

func TestRTTIsWhatWasObserved(t *testing.T) {
	w := newWorld(t, 0, "gru")
	b := w.nodes["gru"]
	if _, ok := b.RTT("fra"); ok {
		t.Error("a round trip that was never measured is known")
	}
	for _, d := range []time.Duration{72 * ms, 70 * ms, 95 * ms} {
		b.Observe("fra", d)
	}
	if r, ok := b.RTT("fra"); !ok || r.Min != 70*ms || r.P50 != 72*ms || r.Last != 95*ms || r.At.IsZero() {
		t.Errorf("RTT = %+v, %v", r, ok)
	}
}
