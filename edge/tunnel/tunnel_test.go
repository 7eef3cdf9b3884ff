package tunnel

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestAcceptIsThatOfTheRFC(t *testing.T) {
	if got := Accept("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, section 1.3
		t.Error(got)
	}
	if a, b := NewKey(), NewKey(); a == b || !isKey(a) {
		t.Error(a, b)
	}
}

func TestHandshakesAreRead(t *testing.T) {
	h1 := func(change func(*http.Request)) *http.Request {
		r := &http.Request{Method: "GET", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
			"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"WebSocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		}}
		change(r)
		return r
	}
	h2 := func(protocol string) *http.Request {
		return &http.Request{Method: "CONNECT", ProtoMajor: 2, Header: http.Header{":protocol": {protocol}, "Sec-Websocket-Version": {"13"}}}
	}
	for name, tt := range map[string]struct {
		r      *http.Request
		status int // 0: it is one
	}{
		"h1":             {h1(func(*http.Request) {}), 0},
		"h2":             {h2("websocket"), 0},
		"h3":             {&http.Request{Method: "CONNECT", Proto: "websocket", ProtoMajor: 3, Header: http.Header{"Sec-Websocket-Version": {"13"}}}, 0},
		"another, h2":    {h2("connect-udp"), 501},
		"POST":           {h1(func(r *http.Request) { r.Method = "POST" }), 400},
		"a body":         {h1(func(r *http.Request) { r.ContentLength = 3 }), 400},
		"a chunked body": {h1(func(r *http.Request) { r.ContentLength, r.TransferEncoding = -1, []string{"chunked"} }), 400},
		"HTTP/1.0":       {h1(func(r *http.Request) { r.ProtoMinor = 0 }), 400},
		"version 8":      {h1(func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }), 426},
		"no version":     {h1(func(r *http.Request) { r.Header.Del("Sec-WebSocket-Version") }), 426},
		"two versions":   {h1(func(r *http.Request) { r.Header.Add("Sec-WebSocket-Version", "13") }), 426},
		"no key":         {h1(func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }), 400},
		"two keys":       {h1(func(r *http.Request) { r.Header.Add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") }), 400},
		"a short key":    {h1(func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "dGhl") }), 400},
	} {
		if _, ok := Asks(tt.r); !ok {
			t.Errorf("%s: it asks for nothing", name)
		}
		if _, no := Read(tt.r); (no == nil) != (tt.status == 0) || no != nil && no.Status != tt.status {
			t.Errorf("%s: %+v, want %d", name, no, tt.status)
		}
	}
	for name, r := range map[string]*http.Request{
		"no Connection": h1(func(r *http.Request) { r.Header.Del("Connection") }), "h2c": h1(func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }),
		"CONNECT": {Method: "CONNECT", ProtoMajor: 2, Proto: "HTTP/2.0"}, "CONNECT of HTTP/3": {Method: "CONNECT", ProtoMajor: 3, Proto: "HTTP/3.0"},
	} {
		if _, ok := Asks(r); ok {
			t.Errorf("%s asks for a tunnel", name)
		}
	}
}

func TestA101MustBeOfTheKey(t *testing.T) {
	h := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {Accept("k")}}
	if err := Verify(h, "k"); err != nil {
		t.Error(err)
	}
	if err := Verify(h, "l"); err == nil {
		t.Error("that of another key is taken")
	}
	h.Set("Upgrade", "h2c")
	if err := Verify(h, "k"); err == nil {
		t.Error("another protocol is taken")
	}
}

// frame makes a frame with a payload of n bytes.
func frame(op byte, n int, masked bool) []byte {
	b := []byte{0x80 | op, 0}
	switch {
	case n < 126:
		b[1] = byte(n)
	case n < 1<<16:
		b[1] = 126
		b = append(b, byte(n>>8), byte(n))
	default:
		b[1] = 127
		b = append(b, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	if masked {
		b[1] |= 0x80
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, make([]byte, n)...)
}

func TestFramesAreFollowedHoweverTheyAreCut(t *testing.T) {
	var all []byte
	ends := map[int]bool{0: true}
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		for _, masked := range []bool{false, true} {
			all = append(all, frame(2, n, masked)...)
			ends[len(all)] = true
		}
	}
	for _, step := range []int{1, 2, 3, 7, 4096} {
		var f Frames
		for at := 0; at < len(all); at += step {
			next := min(at+step, len(all))
			if f.Feed(all[at:next]); f.Between() != ends[next] {
				t.Fatalf("in steps of %d, at %d: between %v", step, next, f.Between())
			}
		}
		if f.Closed() {
			t.Error("closed without a Close frame")
		}
		if f.Feed(Close(1000, true)); !f.Closed() || f.Between() {
			t.Error("not closed after a Close frame")
		}
	}
}

// Frames are strangers' bytes: whatever they say, following them in one piece or
// in many comes to the same.
func FuzzFrames(f *testing.F) {
	f.Add(frame(1, 5, true), 1)
	f.Add(append(frame(1, 130, false), Close(1001, false)...), 3)
	f.Add([]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1}, 2)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var one, many Frames
		one.Feed(b)
		if cut < 1 {
			cut = 1
		}
		for at := 0; at < len(b); at += cut {
			many.Feed(b[at:min(at+cut, len(b))])
		}
		if one.Between() != many.Between() || one.Closed() != many.Closed() || one.left != many.left || one.have != many.have {
			t.Fatalf("%+v, %+v", one, many)
		}
		if one.Between() {
			if one.Feed(Close(1001, true)); !one.Closed() || one.left != 0 || one.have != 0 {
				t.Fatalf("a Close frame does not fit: %+v", one)
			}
		}
	})
}

// ends runs a tunnel in a bubble, and returns its outer ends.
func ends(t *testing.T, ctx context.Context, cfg Config) (viewer, origin net.Conn, done chan Ended) {
	viewer, a := net.Pipe()
	b, origin := net.Pipe()
	done = make(chan Ended, 1)
	go func() { done <- Run(ctx, cfg, a, b) }()
	return viewer, origin, done
}

func read(t *testing.T, c io.Reader, want []byte) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || !bytes.Equal(b, want) {
		t.Errorf("read %x, %v; want %x", b, err, want)
	}
}

func TestAnIdleTunnelEndsAndABusyOneDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		viewer, origin, done := ends(t, t.Context(), Config{})
		for range 5 { // a ping every 9 minutes keeps it
			time.Sleep(9 * time.Minute)
			go viewer.Write(frame(9, 0, true))
			read(t, origin, frame(9, 0, true))
		}
		begin := time.Now()
		go io.Copy(io.Discard, origin)
		read(t, viewer, Close(GoingAway, false))
		if d := time.Since(begin); d < 10*time.Minute || d > 20*time.Minute {
			t.Errorf("it ended after %v", d)
		}
		if e := <-done; e.Why != "it was idle" || e.In != 5*6+8 || e.Out != 4 {
			t.Errorf("%+v", e)
		}
	})
}

func TestATunnelThatIsToldToEndSaysSoBetweenFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		viewer, origin, done := ends(t, ctx, Config{})
		message := frame(2, 200, false)
		go origin.Write(message[:50])
		read(t, viewer, message[:50])
		stop()
		synctest.Wait()
		// To the origin it is said at once, masked; to the viewer once the frame is over.
		head := make([]byte, 8)
		io.ReadFull(origin, head)
		if head[0] != 0x88 || head[1] != 0x82 || head[6]^head[2] != 3 || head[7]^head[3] != 0xe9 {
			t.Errorf("to the origin: %x", head)
		}
		go origin.Write(append(message[50:], frame(2, 9, false)...))
		read(t, viewer, message[50:])
		read(t, viewer, Close(GoingAway, false))
		viewer.Close()
		if e := <-done; e.Why != "the edge goes away" || e.Out != 204+4 {
			t.Errorf("%+v", e)
		}
	})
}

// An end that reads nothing cannot hold a tunnel that is to end.
func TestAStuckTunnelEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		viewer, origin, done := ends(t, ctx, Config{Linger: time.Second})
		go origin.Write(frame(2, 100, false)) // net.Pipe: waits for the viewer, who does not read
		synctest.Wait()
		begin := time.Now()
		stop()
		<-done
		if d := time.Since(begin); d != time.Second {
			t.Errorf("it took %v", d)
		}
		viewer.Close()
		origin.Close()
	})
}

func TestTheCloseOfEitherEndIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		viewer, origin, done := ends(t, t.Context(), Config{})
		go viewer.Write(Close(1000, true))
		io.ReadFull(origin, make([]byte, 8))
		go func() { origin.Write(Close(1000, false)); origin.Close() }()
		read(t, viewer, Close(1000, false))
		if _, err := viewer.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		if e := <-done; e.Why != "the viewer closed it" {
			t.Errorf("%+v", e)
		}
	})
}
