package framing

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A pipe is a connection that a client has written into.
type pipe struct {
	net.Conn // nil
	from     io.Reader
	to       bytes.Buffer
	closed   bool
}

func (p *pipe) Read(b []byte) (int, error)           { return p.from.Read(b) }
func (p *pipe) Write(b []byte) (int, error)          { return p.to.Write(b) }
func (p *pipe) Close() error                         { p.closed = true; return nil }
func (p *pipe) SetWriteDeadline(time.Time) error     { return nil }
func (p *pipe) SetReadDeadline(time.Time) error      { return nil }
func (p *pipe) ConnectionState() tls.ConnectionState { return tls.ConnectionState{} }

// byteByByte makes every read as short as it can be.
type byteByByte struct{ io.Reader }

func (r byteByByte) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return r.Reader.Read(p[:1])
}

// through returns all that a connection hands out of text, and what it told.
func through(text string, slow, h2 bool) (out string, told []Kind, p *pipe) {
	cfg := Config{Header: 1 << 10, Now: func() time.Time { return time.Unix(0, 0) }, Tell: func(k Kind, _ string) { told = append(told, k) }}
	p = &pipe{from: strings.NewReader(text)}
	if slow {
		p.from = byteByByte{p.from}
	}
	var r io.Reader = NewH1(p, cfg)
	if h2 {
		r = NewH2(p, cfg)
	}
	if slow {
		r = byteByByte{r}
	}
	var b bytes.Buffer
	io.Copy(&b, r)
	return b.String(), told, p
}

func TestBudgetLetsBurstsPassAndNoFloods(t *testing.T) {
	var b Budget
	a := Allowance{Burst: 10, PerSecond: 5}
	now := time.Unix(100, 0)
	spend := func(n int) (ok int) {
		for range n {
			if b.Spend(a, now) {
				ok++
			}
		}
		return ok
	}
	if got := spend(20); got != 10 {
		t.Errorf("%d of a burst passed, want 10", got)
	}
	now = now.Add(4 * time.Second) // pays ten debts, and ten more
	if got := spend(20); got != 10 {
		t.Errorf("%d passed after 4 s, want 10", got)
	}
	if b.Earn(100); !b.Spend(a, now) {
		t.Error("what was earned does not count")
	}
}

func TestOnlyTheLastOfASettingCounts(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"\x00\x04aaaa":             "\x00\x04aaaa",
		"\x00\x04aaaa\x00\x04bbbb": "\x00\x04bbbb",
		"\x00\x04aaaa\x00\x01cccc\x00\x04bbbb\x00\x03dddd": "\x00\x01cccc\x00\x04bbbb\x00\x03dddd",
	} {
		if got := string(lastOfEach([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// conversation writes frames as a client does.
func conversation(write func(*http2.Framer)) string {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	fr := http2.NewFramer(&b, nil)
	fr.AllowIllegalWrites = true
	fr.WriteSettings()
	write(fr)
	return b.String()
}

// asked packs headers.
func asked(extra ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	fields := append([]string{":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a"}, extra...)
	for i := 0; i < len(fields); i += 2 {
		e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

// read reads what came through as net/http would, and returns the requests that
// it would take.
func read(t testing.TB, text string) (taken []*http2.MetaHeadersFrame, err error) {
	fr := http2.NewFramer(nil, strings.NewReader(strings.TrimPrefix(text, http2.ClientPreface)))
	fr.ReadMetaHeaders = hpack.NewDecoder(tableSize, nil)
	fr.MaxHeaderListSize = 1 << 20
	for {
		f, err := fr.ReadFrame()
		var stream http2.StreamError
		if errors.As(err, &stream) {
			continue
		}
		if err != nil {
			return taken, err
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			taken = append(taken, h)
		}
	}
}

func TestHeadersOfTwoReadingsAreNoRequest(t *testing.T) {
	for _, tt := range []struct {
		name  string
		extra []string
		taken int
	}{
		{"nothing more", nil, 1},
		{"trailers", []string{"te", "trailers"}, 1},
		{"the same host", []string{"host", "A"}, 1},
		{"connection", []string{"connection", "close"}, 0},
		{"keep-alive", []string{"keep-alive", "1"}, 0},
		{"proxy-connection", []string{"proxy-connection", "close"}, 0},
		{"transfer-encoding", []string{"transfer-encoding", "chunked"}, 0},
		{"upgrade", []string{"upgrade", "h2c"}, 0},
		{"another te", []string{"te", "gzip"}, 0},
		{"two lengths", []string{"content-length", "1", "content-length", "1"}, 0},
		{"a signed length", []string{"content-length", "+1"}, 0},
		{"another host", []string{"host", "b"}, 0},
		{"a length in disguise", []string{"content_length", "0"}, 0},
		{"a coding in disguise", []string{"transfer_encoding", "chunked"}, 0},
		{"another underscore", []string{"content_type", "text/plain"}, 1},
		{"two hosts", []string{"host", "a", "host", "a"}, 0},
		{"a length, and no body", []string{"content-length", "1"}, 0},
		{"a length of nothing", []string{"content-length", "00"}, 1},
	} {
		text := conversation(func(fr *http2.Framer) {
			block := asked(tt.extra...)
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true, EndStream: true})
			half := len(block) / 2
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block[:half], EndStream: true, PadLength: 7, Priority: http2.PriorityParam{Weight: 3}})
			fr.WriteContinuation(3, true, block[half:])
		})
		for _, slow := range []bool{false, true} {
			out, told, _ := through(text, slow, true)
			if taken, err := read(t, out); len(taken) != 2*tt.taken || err != io.EOF || (len(told) == 0) != (tt.taken == 1) {
				t.Errorf("%s: %d requests of two, %v, told %v", tt.name, len(taken), err, told)
			}
		}
		if taken, _ := read(t, text); len(taken) != 2 {
			t.Errorf("%s: unguarded, %d requests", tt.name, len(taken))
		}
	}
}

func TestFloodsEndTheConnection(t *testing.T) {
	many := func(n int, write func(*http2.Framer)) func(*http2.Framer) {
		return func(fr *http2.Framer) {
			for range n {
				write(fr)
			}
		}
	}
	for _, tt := range []struct {
		kind  Kind
		few   int
		many  int
		write func(*http2.Framer)
	}{
		{Pings, 50, 200, func(fr *http2.Framer) { fr.WritePing(false, [8]byte{}) }},
		{Settings, 10, 50, func(fr *http2.Framer) { fr.WriteSettings() }},
		{Resets, 300, 600, func(fr *http2.Framer) { fr.WriteRSTStream(1, http2.ErrCodeCancel) }},
		{Empties, 50, 200, func(fr *http2.Framer) { fr.WriteData(1, false, nil) }},
		{Empties, 50, 200, func(fr *http2.Framer) { fr.WriteDataPadded(1, false, nil, make([]byte, 200)) }},
		{Windows, 1000, 3000, func(fr *http2.Framer) { fr.WriteWindowUpdate(0, 1) }},
		{Others, 500, 1500, func(fr *http2.Framer) { fr.WritePriority(1, http2.PriorityParam{StreamDep: 3}) }},
		{Headers, 20, 40, func(fr *http2.Framer) { fr.WriteContinuation(1, false, nil) }},
	} {
		start := func(fr *http2.Framer) {
			if tt.kind == Headers {
				fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: asked()})
			}
		}
		for n, cut := range map[int]bool{tt.few: false, tt.many: true} {
			text := conversation(func(fr *http2.Framer) { start(fr); many(n, tt.write)(fr) })
			_, told, p := through(text, false, true)
			if left := p.from.(*strings.Reader).Len(); left > 0 {
				t.Errorf("%d of %s: %d bytes are not taken, and may break the connection before GOAWAY is read", n, tt.kind, left)
			}
			if got := len(told) == 1 && told[0] == tt.kind; got != cut || len(told) > 1 {
				t.Errorf("%d %s: told %v", n, tt.kind, told)
			}
			said := p.to.Bytes()
			if cut != bytes.Equal(said, goAway(1<<31-1, http2.ErrCodeEnhanceYourCalm)) {
				t.Errorf("%d %s: the client was told %x", n, tt.kind, said)
			}
		}
	}
}

// TestResetsThatAClientMakesAreItsOwn (MadeYouReset): what net/http resets for
// what the client did counts as if the client had. Controls: resets for other
// reasons, and those of one stream whose client sends on.
func TestResetsThatAClientMakesAreItsOwn(t *testing.T) {
	for _, tt := range []struct {
		code http2.ErrCode
		step uint32 // between streams
		want []Kind
	}{
		{http2.ErrCodeProtocol, 2, []Kind{Resets}}, {http2.ErrCodeFlowControl, 2, []Kind{Resets}}, {http2.ErrCodeStreamClosed, 2, []Kind{Resets}},
		{http2.ErrCodeNo, 2, nil}, {http2.ErrCodeRefusedStream, 2, nil}, {http2.ErrCodeInternal, 2, nil}, {http2.ErrCodeStreamClosed, 0, nil},
	} {
		text := conversation(func(fr *http2.Framer) {
			for range 1000 {
				fr.WriteData(1, false, []byte("x"))
			}
		})
		var told []Kind
		c := NewH2(&pipe{from: strings.NewReader(text)}, Config{Header: 1 << 10, Now: func() time.Time { return time.Unix(0, 0) }, Tell: func(k Kind, _ string) { told = append(told, k) }})
		for i := range uint32(1000) { // the client goes on when it was told
			c.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0, 0, 4, byte(http2.FrameRSTStream), 0}, 1+i*tt.step), uint32(tt.code)))
			io.CopyN(io.Discard, c, 10)
		}
		if told = slices.Compact(told); !slices.Equal(told, tt.want) {
			t.Errorf("after 1000 resets by %v, each %d streams on: told %v, want %v", tt.code, tt.step, told, tt.want)
		}
	}
}

// TestPingsThatMeasureAreNoFlood: a client of gRPC sends one for each frame of
// DATA it gets. Control: for bytes that are no DATA it may not.
func TestPingsThatMeasureAreNoFlood(t *testing.T) {
	for typ, want := range map[http2.FrameType][]Kind{http2.FrameData: nil, http2.FramePing: {Pings}} {
		text := conversation(func(fr *http2.Framer) {
			for range 1000 {
				fr.WritePing(false, [8]byte{})
			}
		})
		var told []Kind
		p := &pipe{from: strings.NewReader(text)}
		c := NewH2(p, Config{Header: 1 << 10, Now: func() time.Time { return time.Unix(0, 0) }, Tell: func(k Kind, _ string) { told = append(told, k) }})
		for range 1000 { // it sends the next when the edge has sent more
			c.Write([]byte{0, 0, 1, byte(typ), 0, 0, 0, 0, 1, 'x'})
			io.CopyN(io.Discard, c, 17)
		}
		io.Copy(io.Discard, c)
		if told = slices.Compact(told); !slices.Equal(told, want) {
			t.Errorf("after 1000 frames of %v: told %v, want %v", typ, told, want)
		}
	}
}

func TestHPACKBombEndsTheConnection(t *testing.T) {
	text := conversation(func(fr *http2.Framer) {
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		e.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("y", 1<<10)})
		for range 1000 { // a byte each
			e.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("y", 1<<10)})
		}
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: append(asked(), b.Bytes()...), EndHeaders: true})
	})
	if _, told, _ := through(text, false, true); len(told) != 1 || told[0] != Headers {
		t.Errorf("told %v", told)
	}
}

// GOAWAY comes between frames, never in one, and nothing after it.
func TestGoAwayIsWrittenBetweenFrames(t *testing.T) {
	p := &pipe{}
	var w writes
	frame := []byte{0, 0, 4, 0, 0, 0, 0, 0, 1, 'b', 'o', 'd', 'y'}
	w.write(p, frame[:11])
	w.end(p, http2.ErrCodeEnhanceYourCalm)
	if p.to.Len() != 11 {
		t.Errorf("%x was written into a frame", p.to.Bytes()[11:])
	}
	if _, err := w.write(p, frame[11:]); err == nil {
		t.Error("the writer is not told that it is over")
	}
	w.write(p, frame)
	if want := append(frame, goAway(1<<31-1, http2.ErrCodeEnhanceYourCalm)...); !bytes.Equal(p.to.Bytes(), want) {
		t.Errorf("%x, want %x", p.to.Bytes(), want)
	}
}

func TestAfterASwitchOfProtocolsBytesPass(t *testing.T) {
	const ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	r, w := io.Pipe()
	p := &pipe{from: r}
	c := NewH1(p, Config{Header: 1 << 10})
	go func() { io.WriteString(w, ask) }()
	head := make([]byte, len(ask))
	if _, err := io.ReadFull(c, head); err != nil || string(head) != ask {
		t.Fatalf("%q, %v", head, err)
	}
	c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"))
	go func() { io.WriteString(w, "\x81\x05\nhello"); w.Close() }()
	if got, err := io.ReadAll(c); string(got) != "\x81\x05\nhello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// Judging a head makes next to nothing.
func TestAHeadIsJudgedInPlace(t *testing.T) {
	lines := [][]byte{
		[]byte("Host: api.example.test:8443"), []byte("Content-Length: 12"),
		[]byte("User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
	}
	made := testing.AllocsPerRun(100, func() {
		var m message
		for _, line := range lines {
			if why := m.header(line); why != "" {
				t.Error(why)
			}
		}
	})
	if made > 1 { // the host, which is taken apart
		t.Errorf("%v objects were made of a head, want at most 1", made)
	}
}
