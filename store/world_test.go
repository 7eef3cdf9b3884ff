package store

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian"
	"meridian/internal/proc"
)

// lag is the largest one-way delay between two members: half of 220 ms.
const lag = 110 * time.Millisecond

// TestMain lets this binary be a node that has a member and nothing else.
func TestMain(m *testing.M) {
	if name := os.Getenv("STORE_TEST_MEMBER"); name != "" {
		if err := node(name); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// node runs a member in this process's working folder, as package server does.
// Beside that folder stand the sockets that take the backbone's place. It does
// what it reads, "put KEY VALUE LIMIT", "await KEY VALUE", "leads", "lead",
// "another", "cut MEMBER", "deaf" or "hear", and answers each line.
func node(name string) error {
	l, err := net.Listen("unix", "../"+name)
	if err != nil {
		return err
	}
	served, err := net.Listen("unix", "../relay-"+name)
	if err != nil {
		return err
	}
	var w wires
	l, served = hardOfHearing{l, &w}, hardOfHearing{served, &w}
	deps := Deps{PeerListener: l, DialPeer: w.dial}
	for _, other := range []string{"a", "b", "c"} {
		if other != name && os.Getenv("STORE_TEST_ALONE") == "" {
			deps.Relays = append(deps.Relays, func(ctx context.Context) (net.Conn, error) { return w.reach(ctx, other, "relay-"+other) })
		}
	}
	election, _ := time.ParseDuration(os.Getenv("STORE_TEST_ELECTION"))
	m, err := NewMember(MemberConfig{Dir: ".", Name: name, Peers: map[string]string{"a": "", "b": "", "c": ""}, Opens: cmp.Or(os.Getenv("STORE_TEST_OPENS"), "a"), Election: election}, deps)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go m.Serve(ctx, served) // ends with the process
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx, func() { fmt.Println("ready") }) }()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		f := strings.Fields(in.Text())
		switch f[0] {
		case "put":
			limit, err := time.ParseDuration(f[3])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, limit)
			fmt.Println(meridian.KindOf(m.Put(ctx, f[1], []byte(f[2]))))
			cancel()
		case "leads":
			st, err := m.server.Load().client.Status(ctx, "")
			if err != nil {
				return err
			}
			fmt.Println(st.Leader == st.Header.MemberId)
		case "lead":
			fmt.Println(meridian.KindOf(m.Lead(ctx)))
		case "another": // is elected
			changed := m.server.Load().LeaderChangedNotify()
			fmt.Println("waits")
			<-changed
			fmt.Println(m.Leader())
		case "cut":
			w.cut(f[1])
			fmt.Println("cut")
		case "deaf", "hear":
			w.listen(f[0] == "hear")
			fmt.Println(f[0])
		case "await":
			for {
				changed := m.Watch()
				if e, _ := m.Now().Get(f[1]); string(e.Value) == f[2] {
					break
				}
				<-changed
			}
			fmt.Println(f[2])
		}
	}
	cancel()
	return <-done
}

// wires are a node's connections to others.
type wires struct {
	mu   sync.Mutex // guards what follows
	gone map[string]bool
	open map[string][]net.Conn
	deaf chan struct{} // closed once the node hears again; nil while it does
}

func (w *wires) dial(ctx context.Context, member string) (net.Conn, error) {
	return w.reach(ctx, member, member)
}

// reach connects to a socket of a member.
func (w *wires) reach(ctx context.Context, member, socket string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", "../"+socket)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone[member] {
		c.Close()
		return nil, errors.New("cut")
	}
	if w.open == nil {
		w.open = map[string][]net.Conn{}
	}
	w.open[member] = append(w.open[member], c)
	return far(deafened{c, w}), nil
}

// listen says whether what others send arrives from now on. What did not is not
// lost: it comes later.
func (w *wires) listen(hears bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deaf != nil {
		close(w.deaf)
	}
	if w.deaf = nil; !hears {
		w.deaf = make(chan struct{})
	}
}

// arrive returns once the node hears.
func (w *wires) arrive() {
	w.mu.Lock()
	deaf := w.deaf
	w.mu.Unlock()
	if deaf != nil {
		<-deaf
	}
}

// A deafened connection brings nothing while its node is deaf.
type deafened struct {
	net.Conn
	w *wires
}

func (d deafened) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	d.w.arrive()
	return n, err
}

// hardOfHearing is a listener of deafened connections.
type hardOfHearing struct {
	net.Listener
	w *wires
}

func (l hardOfHearing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return deafened{c, l.w}, nil
}

// cut ends what this node opened to a member, for good.
func (w *wires) cut(member string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = map[string]bool{member: true}
	for _, c := range w.open[member] {
		c.Close()
	}
}

// far delays what passes through c in both directions.
func far(c net.Conn) net.Conn {
	here, there := net.Pipe()
	go carry(there, c)
	go carry(c, there)
	return here
}

func carry(to, from net.Conn) {
	type chunk struct {
		at time.Time
		b  []byte
	}
	line := make(chan chunk, 10000)
	go func() {
		defer to.Close()
		defer from.Close()
		for c := range line {
			<-time.After(time.Until(c.at))
			if _, err := to.Write(c.b); err != nil {
				break
			}
		}
		for range line {
		}
	}()
	defer close(line)
	for {
		b := make([]byte, 32<<10)
		n, err := from.Read(b)
		if err != nil {
			return
		}
		line <- chunk{time.Now().Add(lag), b[:n]}
	}
}

// A child is a node in a process of its own.
type child struct {
	*proc.Process
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func spawn(t *testing.T, dir, name string, env ...string) *child {
	t.Helper()
	own := filepath.Join(dir, "node-"+name)
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, said, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{name, "relay-" + name} { // by a killed node
		os.Remove(filepath.Join(dir, left))
	}
	p, err := proc.Start(proc.Cmd{Path: self, Env: append(env, "STORE_TEST_MEMBER="+name), Dir: own, Stdin: in, Stdout: said, Stderr: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	said.Close()
	t.Cleanup(func() { p.Kill(); <-p.Done(); feed.Close(); out.Close() })
	return &child{Process: p, t: t, in: feed, out: bufio.NewReader(out)}
}

func (c *child) ask(line string) { fmt.Fprintln(c.in, line) }

func (c *child) says(want string) {
	c.t.Helper()
	if got := c.line(); got != want {
		c.t.Fatalf("said %q, want %q", got, want)
	}
}

// line returns what the child says next.
func (c *child) line() string {
	c.t.Helper()
	got := make(chan string, 1)
	go func() {
		line, _ := c.out.ReadString('\n') // what it said before its end counts
		got <- strings.TrimSpace(line)
	}()
	select {
	case line := <-got:
		return line
	case <-time.After(patience):
		c.t.Fatal("it says nothing")
		return ""
	}
}

// leader returns which of them leads.
func leader(t *testing.T, all []*child) int {
	t.Helper()
	led := slices.IndexFunc(all, func(c *child) bool {
		c.ask("leads")
		return c.line() == "true"
	})
	if led < 0 {
		t.Fatal("nobody leads")
	}
	return led
}

func trio(t *testing.T, env ...string) (all []*child) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		all = append(all, spawn(t, dir, name, env...))
	}
	for _, c := range all {
		c.says("ready")
	}
	all[0].ask("put k 1 14s")
	all[0].says("")
	return all
}

// cutFromLeader cuts one member from the leader alone, and waits until it has
// none, as its own answer shows.
func cutFromLeader(t *testing.T, all []*child) (cut, other *child) {
	led := leader(t, all)
	name := func(i int) string { return string(rune('a' + i%3)) }
	cut, other = all[(led+1)%3], all[(led+2)%3]
	cut.ask("await k 1")
	cut.says("1")
	for who, from := range map[*child]string{cut: name(led), all[led]: name(led + 1)} {
		who.ask("cut " + from)
		who.says("cut")
	}
	return cut, other
}
