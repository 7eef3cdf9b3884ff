package edge

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"reflect"
	"testing"
)

// shakenPair returns both ends of a connection of TLS whose handshake is over.
func shakenPair(t *testing.T) (server, client *tls.Conn) {
	t.Helper()
	a, b := net.Pipe()
	leaf, roots := certificate(t, domain)
	server, client = tls.Server(a, &tls.Config{Certificates: []tls.Certificate{leaf}, SessionTicketsDisabled: true}), tls.Client(b, &tls.Config{RootCAs: roots, ServerName: domain})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return server, client
}

// holds returns how many bytes a connection's buffers can hold.
func holds(c *tls.Conn) (n int) {
	for _, name := range []string{"rawInput", "hand"} {
		n += reflect.ValueOf(c).Elem().FieldByName(name).FieldByName("buf").Cap()
	}
	return n
}

func TestSlimConnectionGoesOn(t *testing.T) {
	s := newSlimmer()
	if !s.known {
		t.Fatal("this Go's crypto/tls keeps its buffers elsewhere: idle connections cost 4 KiB more")
	}
	server, client := shakenPair(t)
	if n := holds(server); n < 1<<10 {
		t.Errorf("after the handshake %d bytes are held: there is nothing to take", n)
	}
	for i := range 3 {
		if s.take(server); holds(server) != 0 {
			t.Errorf("%d bytes are held", holds(server))
		}
		want := fmt.Sprint("hello", i)
		go io.WriteString(client, want)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(server, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
}

// The negative control: what was read of a record and not handed out stays.
func TestSlimmerTakesNoBytes(t *testing.T) {
	s := newSlimmer()
	server, client := shakenPair(t)
	go io.WriteString(client, "hello")
	first := make([]byte, 1)
	if _, err := io.ReadFull(server, first); err != nil {
		t.Fatal(err)
	}
	s.take(server)
	rest := make([]byte, 4)
	if _, err := io.ReadFull(server, rest); err != nil || string(first)+string(rest) != "hello" {
		t.Errorf("%q %q, %v", first, rest, err)
	}
}

func TestSlimmerOfAnotherGoTakesNothing(t *testing.T) {
	server, _ := shakenPair(t)
	before := holds(server)
	if (slimmer{}).take(server); holds(server) != before {
		t.Error("it took something")
	}
}
