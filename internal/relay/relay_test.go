package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// world is an echo server behind a relay.
func world(t *testing.T, dial func(context.Context, string) (net.Conn, error)) (front string, failures chan error, end func()) {
	t.Helper()
	dir := t.TempDir()
	front, back := filepath.Join(dir, "front"), filepath.Join(dir, "back")
	echo, err := net.Listen("unix", back)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", front)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failures = make(chan error, 1)
	var all sync.WaitGroup
	all.Go(func() {
		Serve(ctx, l, func(ctx context.Context) (net.Conn, error) { return dial(ctx, back) }, func(err error) { failures <- err })
	})
	all.Go(func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			all.Go(func() { io.Copy(c, c); c.Close() })
		}
	})
	end = sync.OnceFunc(func() { cancel(); echo.Close(); all.Wait() })
	t.Cleanup(end)
	return front, failures, end
}

func unix(ctx context.Context, name string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", name)
}

func TestBytesGoThereAndBackUntilTheEnd(t *testing.T) {
	front, _, end := world(t, unix)
	c, err := unix(t.Context(), front)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
		t.Fatalf("%q, %v", got, err)
	}
	end() // returns only if nothing remains
	if _, err := c.Read(got); err == nil {
		t.Error("the connection outlived the relay")
	}
}

func TestOtherHalfMissingClosesTheConnection(t *testing.T) {
	away := errors.New("away")
	front, failures, _ := world(t, func(context.Context, string) (net.Conn, error) { return nil, away })
	c, err := unix(t.Context(), front)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("read from nowhere")
	}
	if err := <-failures; err != away {
		t.Errorf("told %v", err)
	}
}
