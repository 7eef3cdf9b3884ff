package handover

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A holder notes what it is asked for.
type holder struct {
	refuse error         // of Release
	over   chan struct{} // closed once it goes on or yields; may be nil
	yield  func()        // may be nil
	mu     sync.Mutex
	did    []string
}

func (h *holder) note(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.did = append(h.did, what)
}

func (h *holder) Release(context.Context) error { h.note("release"); return h.refuse }
func (h *holder) Resume(why error, released bool) {
	defer close(h.over)
	if released {
		h.note("start again: " + why.Error())
		return
	}
	h.note("go on: " + why.Error())
}
func (h *holder) Yield(int) {
	h.note("yield")
	if h.yield != nil {
		h.yield()
	}
}
func (h *holder) Restart() error { h.note("restart"); return h.refuse }

func (h *holder) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.did, "; ")
}

// offer has sockets offered until the test ends, and returns what waits for the
// offer's end.
func offer(t *testing.T, s *Sockets, h Holder) (path string, ended func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "of-its-own", "sock")
	o, err := NewOffer(path, s, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	ended = sync.OnceFunc(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); ended() })
	return path, ended
}

func listen(t *testing.T, s *Sockets, address string) net.Listener {
	t.Helper()
	l, err := s.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestWhoConnectsInBetweenIsAnsweredByTheNext connects when the process before has
// closed its socket and the next one does not accept yet. Control, in the same
// test: a socket that was not handed over refuses.
func TestWhoConnectsInBetweenIsAnsweredByTheNext(t *testing.T) {
	var old Sockets
	l, other := listen(t, &old, "127.0.0.1:0"), listen(t, new(Sockets), "127.0.0.1:0")
	old.Pass("note", l.Addr().String(), func() (*os.File, string, error) {
		f, err := os.Open(os.DevNull)
		return f, "remember", err
	})
	h := &holder{}
	path, ended := offer(t, &old, h)
	var next Sockets
	n, err := Join(t.Context(), path, &next)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Prepared(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	other.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("between the two: %v", err)
	}
	defer c.Close()
	if _, err := net.Dial("tcp", other.Addr().String()); err == nil {
		t.Error("a socket that is closed accepts")
	}
	again := listen(t, &next, l.Addr().String())
	got, err := again.Accept()
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
	if f, note := next.Passed("note", l.Addr().String()); f == nil || note != "remember" {
		t.Errorf("passed %v, %q", f, note)
	}
	if err := n.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	ended()
	if h.said() != "release; yield" {
		t.Errorf("the process before: %s", h.said())
	}
	if left := next.Settle(); len(left) != 0 {
		t.Errorf("nobody uses %v", left)
	}
}

// TestWhoYieldsSaysSoBeforeItEnds has the process before end its offer as soon as it
// yields: the next one hears that it has the place.
func TestWhoYieldsSaysSoBeforeItEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 1)
	o, err := NewOffer(filepath.Join(t.TempDir(), "of-its-own", "sock"), new(Sockets), &holder{yield: func() {
		cancel()
		select {
		case err := <-told: // somebody closed the connection
			told <- err
		case <-time.After(50 * time.Millisecond):
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	n, err := Join(t.Context(), o.path, new(Sockets))
	if err == nil {
		err = n.Prepared(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	told <- n.Ready(t.Context())
	if err := errors.Join(<-told, <-ended); err != nil {
		t.Error(err)
	}
}

// TestTheOneThatRunsGoesOn when the next process does not come up, whenever that
// is, and another may try.
func TestTheOneThatRunsGoesOn(t *testing.T) {
	var s Sockets
	l := listen(t, &s, "127.0.0.1:0")
	busy := errors.New("busy")
	for _, x := range []struct {
		name string
		do   func(*Next, *holder)
		said string
	}{
		{"it says that its file is bad", func(n *Next, h *holder) { n.Fail(errors.New("line 7: unknown key")) }, "go on: line 7: unknown key"},
		{"it dies while it reads it", func(n *Next, h *holder) { n.line.close() }, "go on: it ended before it was ready"},
		{"it dies when the other has stopped", func(n *Next, h *holder) {
			if err := n.Prepared(t.Context()); err != nil {
				t.Error(err)
			}
			n.line.close()
		}, "release; start again: it ended before it was ready"},
		{"the other cannot stop", func(n *Next, h *holder) {
			if err := n.Prepared(t.Context()); err == nil || !strings.Contains(err.Error(), "busy") {
				t.Errorf("%v", err)
			}
		}, "release; start again: " + busy.Error()},
		{"it is slower than a second one", func(n *Next, h *holder) {
			if _, err := Join(t.Context(), n.line.conn.RemoteAddr().String(), new(Sockets)); err == nil || !strings.Contains(err.Error(), "another process") {
				t.Errorf("the second: %v", err)
			}
			n.Fail(errors.New("the first"))
		}, "go on: the first"},
	} {
		h := &holder{over: make(chan struct{})}
		if strings.HasSuffix(x.said, busy.Error()) {
			h.refuse = busy
		}
		o, err := NewOffer(filepath.Join(t.TempDir(), "x", "sock"), &s, h)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); o.Run(ctx) }()
		var next Sockets
		n, err := Join(t.Context(), o.path, &next)
		if err != nil {
			t.Fatal(err)
		}
		x.do(n, h)
		next.Settle()
		<-h.over
		cancel()
		<-done
		if !strings.HasPrefix(h.said(), x.said) {
			t.Errorf("%s: %s, want %s", x.name, h.said(), x.said)
		}
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestASocketIsKeptForTheCaseThatItIsWantedAgain closes it meanwhile.
func TestASocketIsKeptForTheCaseThatItIsWantedAgain(t *testing.T) {
	var s Sockets
	l := listen(t, &s, "127.0.0.1:0")
	restore, _, err := s.Keep()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	restore()
	got, err := listen(t, &s, l.Addr().String()).Accept()
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
}

func TestWhoAsksForARestartHearsWhatCameOfIt(t *testing.T) {
	for _, refuse := range []error{nil, errors.New("line 7: unknown key")} {
		h := &holder{refuse: refuse}
		path, _ := offer(t, new(Sockets), h)
		err := Restart(t.Context(), path)
		if (err == nil) != (refuse == nil) || err != nil && err.Error() != refuse.Error() {
			t.Errorf("got %v, want %v", err, refuse)
		}
	}
}

// TestNobodyElseReachesTheSocket looks at the folder: who gets in gets the sockets.
func TestNobodyElseReachesTheSocket(t *testing.T) {
	path, _ := offer(t, new(Sockets), &holder{})
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestASocketOfTheServiceManagerIsUsed also by the node's own name for it.
func TestASocketOfTheServiceManagerIsUsed(t *testing.T) {
	theirs := listen(t, new(Sockets), "127.0.0.1:0")
	udp, err := net.ListenPacket("udp", theirs.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	var files []*os.File
	for _, s := range []any{theirs, udp} {
		f, err := s.(filer).File()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	var s Sockets
	if err := s.Activate(files); err != nil {
		t.Fatal(err)
	}
	l := listen(t, &s, theirs.Addr().String())
	theirs.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	p, err := s.ListenPacket(t.Context(), "udp", theirs.Addr().String())
	if err != nil {
		t.Fatalf("beside the service manager's own: %v", err)
	}
	p.Close()
	if left := s.Settle(); len(left) > 0 {
		t.Errorf("not used: %v", left)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if err := new(Sockets).Activate([]*os.File{null}); err == nil {
		t.Error("a file that is no socket was taken")
	}
}
