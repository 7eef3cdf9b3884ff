package handover_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"meridian/server"
	"meridian/test/harness"
)

// echo answers WebSockets with what they say, and all else as here does.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		here(w, r)
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		typ, said, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if c.Write(r.Context(), typ, said) != nil {
			return
		}
	}
}

// A talk is one WebSocket.
type talk struct {
	*websocket.Conn
	ctx context.Context
}

func (s *site) talk() talk {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	s.t.Cleanup(cancel)
	c := s.client()
	c.Timeout = 0 // ctx has it
	conn, _, err := websocket.Dial(ctx, "wss://"+domain+"/", &websocket.DialOptions{HTTPClient: c})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.CloseNow() })
	return talk{conn, ctx}
}

func (c talk) echoes(text string) error {
	if err := c.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		return err
	}
	_, b, err := c.Read(c.ctx)
	if err == nil && string(b) != text {
		err = fmt.Errorf("%q for %q", b, text)
	}
	return err
}

// TestAWebSocketGoesOnInTheProcessThatHasIt restarts an edge twice, and ends the
// process in the middle: what it had is closed with a code then, and what came
// since goes on in the newest.
func TestAWebSocketGoesOnInTheProcessThatHasIt(t *testing.T) {
	s := newSite(t, twoNodes, "", echo)
	s.up()
	p, state := s.procs["us-east-1/edge"], s.state("us-east-1/edge")
	restart := func(often int) (pid int) {
		p.cmd.Process.Signal(syscall.SIGUSR2)
		p.restarts(t, often)
		return server.Holder(state)
	}
	second := restart(1)
	old := s.talk()
	if err := old.echoes("before"); err != nil {
		t.Fatal(err)
	}
	third := restart(2)
	if third == second {
		t.Fatalf("process %d has its own place", third)
	}
	young := s.talk()
	for _, c := range []talk{old, young, old} {
		if err := c.echoes("after"); err != nil {
			t.Fatal(err)
		}
	}
	syscall.Kill(second, syscall.SIGTERM)
	_, _, err := old.Read(old.ctx)
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != websocket.StatusGoingAway && closed.Code != websocket.StatusServiceRestart {
		t.Errorf("the one of the process that ended: %v", err)
	}
	if err := young.echoes("still"); err != nil {
		t.Errorf("the one of the newest process: %v", err)
	}
}

// TestTheServiceManagerIsTold what systemd must hear of a node of Type=notify: that
// it is ready, which process has its place, and that it stops.
func TestTheServiceManagerIsTold(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s") // a socket's path has 107 bytes at most
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newSite(t, twoNodes, "limits: {drain: 2s}", here)
	s.serve("us-east-1")
	s.env = []string{"NOTIFY_SOCKET=" + path}
	p := s.serve("us-east-1/edge")
	heard := func(want string) {
		t.Helper()
		l.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 1024)
		for {
			n, err := l.Read(b)
			if err != nil {
				t.Fatalf("%s was not heard: %v", want, err)
			}
			if strings.Contains(string(b[:n]), want) {
				return
			}
		}
	}
	heard("READY=1")
	s.answers()
	p.cmd.Process.Signal(syscall.SIGUSR2)
	p.restarts(t, 1)
	pid := server.Holder(s.state("us-east-1/edge"))
	heard(fmt.Sprintf("MAINPID=%d", pid))
	if pid == p.cmd.Process.Pid {
		t.Error("the same process has the place still")
	}
	select {
	case <-p.end: // systemd waits for no other than the one that it was told
	case <-time.After(patience):
		t.Error("the process before stays")
	}
	syscall.Kill(pid, syscall.SIGTERM)
	heard("STOPPING=1\nEXTEND_TIMEOUT_USEC=")
	harness.Eventually(t, patience, func() error {
		if syscall.Kill(pid, 0) == nil {
			return errors.New("it goes on")
		}
		return nil
	})
}
