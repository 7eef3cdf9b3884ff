package store

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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
// what it reads, "put KEY VALUE LIMIT", "await KEY VALUE" or "leads", and answers
// each line.
func node(name string) error {
	l, err := net.Listen("unix", "../"+name)
	if err != nil {
		return err
	}
	m, err := NewMember(MemberConfig{Dir: ".", Name: name, Peers: map[string]string{"a": "", "b": "", "c": ""}},
		Deps{PeerListener: l, DialPeer: func(ctx context.Context, member string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "unix", "../"+member)
			if err != nil {
				return nil, err
			}
			return far(c), nil
		}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
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
			st, err := m.client.Load().Status(ctx, "")
			if err != nil {
				return err
			}
			fmt.Println(st.Leader == st.Header.MemberId)
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

func spawn(t *testing.T, dir, name string) *child {
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
	os.Remove(filepath.Join(dir, name)) // a killed node leaves its socket
	p, err := proc.Start(proc.Cmd{Path: self, Env: []string{"STORE_TEST_MEMBER=" + name}, Dir: own, Stdin: in, Stdout: said, Stderr: os.Stderr})
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

// TestMembersAcrossContinents runs the shape of production: a process and a
// working folder for each member, forwarders, 220 ms round trips.
func TestMembersAcrossContinents(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	names := []string{"a", "b", "c"}
	var all []*child
	for _, name := range names {
		all = append(all, spawn(t, dir, name))
	}
	for _, c := range all {
		c.says("ready")
	}
	t.Logf("three members from nothing: %v", time.Since(began))

	began = time.Now()
	all[0].ask("put k 1 14s")
	all[0].says("")
	t.Logf("a write: %v", time.Since(began))

	// The leader is the worst to lose: a write at once is lost with it.
	lost := slices.IndexFunc(all, func(c *child) bool {
		c.ask("leads")
		return c.line() == "true"
	})
	if lost < 0 {
		t.Fatal("nobody leads")
	}
	leader, b, c := all[lost], all[(lost+1)%3], all[(lost+2)%3]
	b.ask("await k 1")
	b.says("1")
	leader.Signal(syscall.SIGKILL)
	<-leader.Done()
	began = time.Now()
	// An election may be split, and on a busy machine more than once.
	for range 3 {
		b.ask("put k 2 14s")
		if b.line() == "" {
			break
		}
	}
	t.Logf("a write after the leader was killed: %v", time.Since(began))
	c.ask("await k 2")
	c.says("2")

	a := spawn(t, dir, names[lost])
	a.says("ready")
	a.ask("await k 2")
	a.says("2")

	b.Signal(syscall.SIGKILL)
	c.Signal(syscall.SIGKILL)
	<-b.Done()
	<-c.Done()
	a.ask("put k 3 1s")
	a.says(string(meridian.Unavailable))
	a.ask("await k 2")
	a.says("2")
}
