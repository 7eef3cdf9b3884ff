package http3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
)

// A client is gtlsclient, which keeps its session, and what it may send as early
// data, in a folder.
type client struct {
	t         *testing.T
	edge, dir string
}

func newClient(t *testing.T) *client {
	t.Helper()
	if _, err := exec.LookPath("gtlsclient"); err != nil {
		t.Skip("gtlsclient is not installed (Debian: ngtcp2-client)")
	}
	return &client{t, startEdge(t, startGateway(t)), t.TempDir()}
}

// file writes a file that is to be sent.
func (c *client) file(body []byte) string {
	c.t.Helper()
	name := filepath.Join(c.dir, "sent")
	if err := os.WriteFile(name, body, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return name
}

// ask has the client ask once or more, and returns what it says of it and the body
// of the last response.
func (c *client) ask(query string, args ...string) (said string, body []byte) {
	c.t.Helper()
	out, err := os.MkdirTemp(c.dir, "")
	if err != nil {
		c.t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(c.edge)
	args = append([]string{"--exit-on-all-streams-close", "--no-quic-dump", "--no-http-dump", "--timeout=60s", "--download=" + out, "--sni=localhost"}, args...)
	text, err := exec.CommandContext(c.t.Context(), "gtlsclient", append(args, host, port, "https://localhost:"+port+"/"+query)...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("gtlsclient %s: %v\n%.4000s", args, err, text)
	}
	files, _ := filepath.Glob(filepath.Join(out, "*"))
	if len(files) != 1 {
		c.t.Fatalf("gtlsclient %s: %d responses\n%.4000s", args, len(files), text)
	}
	body, err = os.ReadFile(files[0])
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text), body
}

// large is a body in which any part that is missing or moved shows.
func large(n int) []byte {
	out := make([]byte, 0, n+sha256.Size)
	for sum := sha256.Sum256(nil); len(out) < n; sum = sha256.Sum256(sum[:]) {
		out = append(out, sum[:]...)
	}
	return out[:n]
}

func (c *client) compare(what string, got, want []byte) {
	c.t.Helper()
	if !bytes.Equal(got, want) {
		c.t.Errorf("%s: %d bytes %.40q, want %d bytes %.40q", what, len(got), got, len(want), want)
	}
}

// TestBodiesPassWholeBothWays: also where packets are lost, the client's address or
// the keys change, or the client asks for a version that there is not.
func TestBodiesPassWholeBothWays(t *testing.T) {
	c := newClient(t)
	body := large(5 << 20)
	echo := append([]byte("POST "), body...)
	file := c.file(body)
	for name, tt := range map[string]struct {
		query string
		args  []string
		want  []byte
		shows string // that it happened
	}{
		"GET":                         {"", nil, []byte("GET "), "status: 200"},
		"DELETE":                      {"", []string{"-m", "DELETE"}, []byte("DELETE "), "status: 200"},
		"POST":                        {"", []string{"-m", "POST", "-d", file}, echo, "status: 200"},
		"lost packets":                {"", []string{"-m", "POST", "-d", file, "-t", "0.02", "-r", "0.02"}, echo, "status: 200"},
		"no version of ours":          {"", []string{"-v", "0x1a2a3a4a", "--preferred-versions=v1"}, []byte("GET "), "ERR_RECV_VERSION_NEGOTIATION"},
		"no connection ID":            {"", []string{"--scid="}, []byte("GET "), "status: 200"},
		"a small window":              {"?bytes=5000000", []string{"--max-data=4096", "--max-stream-data-bidi-local=2048"}, bytes.Repeat([]byte("x"), 5_000_000), "status: 200"},
		"another address":             {"?bytes=20000000", []string{"--change-local-addr=50ms"}, bytes.Repeat([]byte("x"), 20_000_000), "PATH_RESPONSE"},
		"another address of a NAT":    {"", []string{"-m", "POST", "-d", file, "--delay-stream=100ms", "--change-local-addr=50ms", "--nat-rebinding"}, echo, "PATH_RESPONSE"},
		"other keys":                  {"", []string{"-m", "POST", "-d", file, "--delay-stream=1200ms", "--key-update=1s"}, echo, "key update confirmed"},
		"other keys and another path": {"", []string{"-m", "POST", "-d", file, "--delay-stream=1200ms", "--key-update=900ms", "--change-local-addr=1s"}, echo, "has been validated"},
	} {
		said, got := c.ask(tt.query, tt.args...)
		c.compare(name, got, tt.want)
		if !strings.Contains(said, tt.shows) {
			t.Errorf("%s: the client says nothing of %s", name, tt.shows)
		}
	}
}

var status = regexp.MustCompile(`\[:status: (\d+)\]`)

// TestEarlyDataOfSafeMethodsAlone (RFC 8470): a GET is sent on as early data, and
// says so; a POST waits for the handshake.
func TestEarlyDataOfSafeMethodsAlone(t *testing.T) {
	c := newClient(t)
	kept := []string{"--session-file=" + filepath.Join(c.dir, "session"), "--tp-file=" + filepath.Join(c.dir, "parameters")}
	file := c.file(large(1 << 20))
	for i, tt := range []struct {
		method string
		args   []string
		early  bool
	}{{"GET", nil, false}, {"GET", nil, true}, {"POST", []string{"-d", file}, false}, {"GET", []string{"--disable-early-data"}, false}} {
		said, body := c.ask("", append(append([]string{"-m", tt.method}, kept...), tt.args...)...)
		if got := strings.Contains(said, "[early: 1]"); got != tt.early || !bytes.HasPrefix(body, []byte(tt.method+" ")) {
			t.Errorf("request %d, %s: early %v, %.20q", i, tt.method, got, body)
		}
		if sent := strings.Contains(said, "0RTT"); sent != (i == 1 || i == 2) {
			t.Errorf("request %d, %s: early data was sent: %v", i, tt.method, sent)
		}
	}
}

// TestManyStreamsOfOneConnectionAreAnswered: more than may be open at once.
func TestManyStreamsOfOneConnectionAreAnswered(t *testing.T) {
	said, _ := newClient(t).ask("?bytes=3000", "-n", "1000")
	all := status.FindAllStringSubmatch(said, -1)
	for _, m := range all {
		if m[1] != "200" {
			t.Errorf("answered %s", m[1])
		}
	}
	if len(all) != 1000 {
		t.Errorf("%d of 1000 were answered", len(all))
	}
}

// TestAFloodOfHandshakesKeepsNobodyOut: while there are more handshakes that do not
// go on than the edge cares for, a client proves its address first (Retry).
func TestAFloodOfHandshakesKeepsNobodyOut(t *testing.T) {
	c := newClient(t)
	if said, _ := c.ask(""); strings.Contains(said, "Retry") {
		t.Error("the control was asked for a proof")
	}
	flood(t, c.edge, 300)
	said, body := c.ask("")
	if !strings.Contains(said, "Retry") || string(body) != "GET " {
		t.Errorf("%q, and the client says:\n%.3000s", body, said)
	}
}

// flood begins handshakes and hears no answer to them.
func flood(t *testing.T, edge string, n int) {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: &deaf{PacketConn: socket, sent: make(chan struct{}, n)}}
	to, err := net.ResolveUDPAddr("udp", edge)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { cancel(); all.Wait(); tr.Close(); socket.Close() })
	for range n {
		all.Go(func() { tr.Dial(ctx, to, &tls.Config{ServerName: "localhost", NextProtos: []string{"h3"}}, nil) })
	}
	for range n {
		<-tr.Conn.(*deaf).sent
	}
}

// A deaf socket sends, and hears nothing until it is closed.
type deaf struct {
	net.PacketConn
	sent chan struct{}
}

func (d *deaf) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		if n, from, err := d.PacketConn.ReadFrom(p); err != nil {
			return n, from, err
		}
	}
}

func (d *deaf) WriteTo(p []byte, to net.Addr) (int, error) {
	n, err := d.PacketConn.WriteTo(p, to)
	select {
	case d.sent <- struct{}{}:
	default:
	}
	return n, err
}
