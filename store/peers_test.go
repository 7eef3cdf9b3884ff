package store

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// TestNobodyWaitsForAnEtcdThatHasNotStarted asks a member whose etcd listens and
// does not answer yet, as it is while it starts: its peers hear at once that there
// is nothing to hear. The control's has started, and is waited for.
func TestNobodyWaitsForAnEtcdThatHasNotStarted(t *testing.T) {
	t.Chdir(t.TempDir()) // sockets are there
	etcd, err := net.Listen("unix", "a:1")
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMember(MemberConfig{Dir: ".", Name: "a", Peers: map[string]string{"a": "", "b": ""}}, Deps{
		PeerListener: door, DialPeer: func(context.Context, string) (net.Conn, error) { return nil, errors.New("no way") },
	})
	if err != nil {
		t.Fatal(err)
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := m.joinPeers(ctx, &parts); err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", door.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	early := dial()
	defer early.Close()
	if n, err := early.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("before it has started: %d bytes, %v", n, err)
	}
	m.serves.Store(true)
	later := dial()
	defer later.Close()
	in, err := etcd.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	io.WriteString(in, "x")
	if _, err := io.ReadFull(later, make([]byte, 1)); err != nil {
		t.Errorf("once it has started: %v", err)
	}
}
