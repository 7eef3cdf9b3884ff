package idle

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

var (
	connections = flag.Int("connections", 0, "connections; 0 is as many as files allow, 100,000 at most")
	rest        = flag.Duration("rest", 10*time.Second, "how long they are idle before they are measured")
)

// serves is set for the process that is the edge.
const serves = "MERIDIAN_BENCH_IDLE_EDGE"

func TestMain(m *testing.M) {
	is, err := be(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
	if !is {
		os.Exit(m.Run())
	}
}

// BenchmarkIdle is one measurement each, however large b.N is.
func BenchmarkIdle(b *testing.B) {
	for _, alpn := range []string{"http/1.1", "h2"} {
		for _, asked := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/asked=%v", strings.ReplaceAll(alpn, "/", ""), asked), func(b *testing.B) {
				n := count(*connections)
				each, err := measure(b.Context(), n, alpn, asked, *rest, (*process).resident)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(n), "connections")
				b.ReportMetric(each/1024, "KiB/connection")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// An idle connection holds no more than this, whatever the collector has left
// lying about: bytes of objects that live and of stacks, which hardly vary.
func TestIdleConnectionHoldsLittle(t *testing.T) {
	for alpn, most := range map[string]float64{"http/1.1": 8.5 * 1024, "h2": 13 * 1024} {
		each, err := measure(t.Context(), 600, alpn, true, 4*time.Second, (*process).live)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.0f bytes", alpn, each)
		if each > most || each < 1024 {
			t.Errorf("%s: an idle connection holds %.0f bytes, want at most %.0f", alpn, each, most)
		}
	}
}

// count returns how many connections to open, beside a hundred: a file each, here
// and there.
func count(n int) int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return min(n, 1000)
	}
	if most := int(min(l.Cur, 1<<20)) - 200; n == 0 || n > most {
		return min(most, 100_000)
	}
	return n
}

// measure opens n connections, and returns by how much each raised what of says
// of the edge, once they were idle for a while.
func measure(ctx context.Context, n int, alpn string, asked bool, rest time.Duration, of func(*process, context.Context) (int, error)) (each float64, err error) {
	p, err := start(ctx, serves+"=1")
	if err != nil {
		return 0, err
	}
	defer p.stop()
	conns, err := open(ctx, p.addr, 100, alpn, asked) // what is made once
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	if err != nil {
		return 0, err
	}
	before, err := of(p, ctx)
	if err != nil {
		return 0, err
	}
	more, err := open(ctx, p.addr, n, alpn, asked)
	conns = append(conns, more...)
	if err != nil {
		return 0, err
	}
	if asked || alpn == "h2" { // who asks nothing over HTTP/1.1 is closed after 10 s
		select {
		case <-time.After(rest):
		case <-ctx.Done():
		}
	}
	after, err := of(p, ctx)
	if err != nil {
		return 0, err
	}
	return float64(after-before) / float64(n), alive(more)
}

// A process is an edge of its own, or clients of one.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	addr string
}

// start starts this program as what env says, and waits until it says where.
func start(ctx context.Context, env string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), env)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // the edge ends when it closes
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", env, err)
	}
	p := &process{cmd: cmd, in: in, out: bufio.NewReader(out)}
	if p.addr, err = p.line(); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s did not say where: %w", env, err)
	}
	return p, nil
}

func (p *process) stop() { p.in.Close(); p.cmd.Wait() }

func (p *process) line() (string, error) {
	s, err := p.out.ReadString('\n')
	return strings.TrimSpace(s), err
}

// live returns the bytes of objects that live in the process, and of stacks.
func (p *process) live(context.Context) (int, error) {
	if _, err := io.WriteString(p.in, "live\n"); err != nil {
		return 0, err
	}
	s, err := p.line()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(s)
}

// resident returns the process's resident memory in bytes.
func (p *process) resident(ctx context.Context) (int, error) { return settled(ctx, p.cmd.Process.Pid) }

// alive returns an error if the edge has closed a connection meanwhile.
func alive(conns []net.Conn) error {
	for i, c := range conns {
		if k, ok := c.(*kept); ok {
			if k.gone.Load() {
				return fmt.Errorf("connection %d was closed", i)
			}
			continue
		}
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		var timeout net.Error
		if n, err := c.Read(make([]byte, 1)); n == 0 && (!errors.As(err, &timeout) || !timeout.Timeout()) {
			return fmt.Errorf("connection %d: %v", i, err)
		}
	}
	return nil
}

// A kept connection of HTTP/2 answers the edge's pings.
type kept struct {
	net.Conn
	gone atomic.Bool
}

func (k *kept) answer() {
	for fr := http2.NewFramer(k.Conn, k.Conn); ; {
		f, err := fr.ReadFrame()
		if err != nil {
			k.gone.Store(true)
			return
		}
		if p, ok := f.(*http2.PingFrame); ok && !p.IsAck() {
			fr.WritePing(true, p.Data)
		}
	}
}

// openers work at once; more of them only wait for the edge's handshakes.
const openers = 32

// open opens n connections from addresses of which each has a thousand.
func open(ctx context.Context, addr string, n int, alpn string, asked bool) ([]net.Conn, error) {
	var (
		mu    sync.Mutex // guards what follows
		conns []net.Conn
		first error
		wg    sync.WaitGroup
		jobs  = make(chan int)
	)
	for range openers {
		wg.Go(func() {
			for i := range jobs {
				c, err := dial(ctx, addr, net.IPv4(127, 99, byte(i/1000/250), byte(1+i/1000%250)), alpn, asked)
				mu.Lock()
				if err == nil {
					conns = append(conns, c)
				} else if first == nil {
					first = fmt.Errorf("connection %d: %w", i, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	return conns, first
}

// dial opens one connection.
func dial(ctx context.Context, addr string, from net.IP, alpn string, asked bool) (net.Conn, error) {
	d := tls.Dialer{
		NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: time.Minute, KeepAlive: -1},
		Config:    &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}}, // of our own making
	}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if alpn == "h2" {
		err = greet(c, asked)
		k := &kept{Conn: c}
		c = k
		if err == nil {
			go k.answer() // ends with the connection
		}
	} else if asked {
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		_, err = c.Read(make([]byte, 4096))
	}
	return c, err
}

// greet does what a client of HTTP/2 does first, and asks once if so told.
func greet(c net.Conn, asked bool) error {
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}
	fr := http2.NewFramer(c, c)
	if err := fr.WriteSettings(); err != nil {
		return err
	}
	if asked {
		var block strings.Builder
		e := hpack.NewEncoder(&block)
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "localhost"}, {Name: ":path", Value: "/"}} {
			e.WriteField(f)
		}
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndHeaders: true, EndStream: true})
	}
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return err
		}
		s, ok := f.(*http2.SettingsFrame)
		if ok && !s.IsAck() {
			if err := fr.WriteSettingsAck(); err != nil {
				return err
			}
		}
		if ok && s.IsAck() && !asked || f.Header().Flags.Has(http2.FlagDataEndStream) && f.Header().StreamID == 1 {
			return nil
		}
	}
}

// settled returns a process's resident memory in bytes, once it does not change
// by more than a hundredth within two seconds.
func settled(ctx context.Context, pid int) (int, error) {
	last := 0
	for {
		now, err := resident(pid)
		if err != nil || abs(now-last) < now/100 {
			return now, err
		}
		last = now
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func abs(n int) int { return max(n, -n) }

func resident(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize(), err
}
