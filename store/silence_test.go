package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"meridian"
)

// A puppet is the relay's end of a connection, moved by the test.
type puppet struct {
	conn net.Conn
}

// relayOf returns how to reach a relay that serve plays.
func relayOf(serve func(puppet)) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		here, there := net.Pipe()
		go serve(puppet{conn: there})
		return here, nil
	}
}

// watched reads the request and begins the answer.
func (p puppet) watched() {
	http.ReadRequest(bufio.NewReader(p.conn))
	fmt.Fprint(p.conn, "HTTP/1.1 200 OK\r\n\r\n")
}

func (p puppet) sends(c change) error { return json.NewEncoder(p.conn).Encode(c) }

func one(rev int64, value string) change {
	return change{Cluster: 1, Rev: rev, Whole: true, Set: []Entry{{Key: "k", Value: []byte(value), Rev: rev}}}
}

// TestSilentRelayIsLeftAfterFiveSeconds is the cut cable: nothing arrives, and
// nothing says that nothing will.
func TestSilentRelayIsLeftAfterFiveSeconds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		near := relayOf(func(p puppet) {
			p.watched()
			p.sends(one(1, "old"))
		})
		left := make(chan struct{})
		far := relayOf(func(p puppet) {
			defer close(left)
			p.watched()
			for p.sends(one(2, "new")) == nil {
				<-time.After(beat)
			}
		})
		f, err := NewFollower(FollowerConfig{Dir: dir}, Deps{Relays: []func(context.Context) (net.Conn, error){near, far}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ready, done := make(chan struct{}), make(chan struct{})
		go func() { f.Run(ctx, func() { close(ready) }); close(done) }()
		<-ready
		began := time.Now()
		for f.Now().Rev() < 2 {
			<-f.Watch()
		}
		if took := time.Since(began); took != silence {
			t.Errorf("left it after %v, want %v", took, silence)
		}
		cancel()
		<-done
		<-left
	})
}

// TestWriteThatMayHaveBeenSentIsNotSentAgain lets a relay read a compare and
// swap and die: only the caller can know what to do then.
func TestWriteThatMayHaveBeenSentIsNotSentAgain(t *testing.T) {
	var asked []string
	dies := func(context.Context) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			http.ReadRequest(bufio.NewReader(there))
			there.Close()
		}()
		asked = append(asked, "dies")
		return here, nil
	}
	away := func(context.Context) (net.Conn, error) {
		asked = append(asked, "away")
		return nil, errors.New("away")
	}
	works := relayOf(func(p puppet) {
		r, err := http.ReadRequest(bufio.NewReader(p.conn))
		if err != nil {
			return
		}
		var o op
		json.NewDecoder(r.Body).Decode(&o)
		fmt.Fprintf(p.conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"ok\":true,\"rev\":0}\n")
		p.conn.Close()
	})
	for _, c := range []struct {
		relays []func(context.Context) (net.Conn, error)
		kind   meridian.Kind
		asked  string
	}{
		{[]func(context.Context) (net.Conn, error){away, dies, works}, meridian.Unavailable, "[away dies]"},
		{[]func(context.Context) (net.Conn, error){away, works}, "", "[away]"}, // never sent: the next may have it
	} {
		asked = nil
		f, err := NewFollower(FollowerConfig{Dir: t.TempDir()}, Deps{Relays: c.relays})
		if err != nil {
			t.Fatal(err)
		}
		ok, err := f.CompareAndSwap(t.Context(), "k", 1, nil)
		if meridian.KindOf(err) != c.kind || ok != (err == nil) || fmt.Sprint(asked) != c.asked {
			t.Errorf("got %v, %v after asking %v; want kind %q after %s", ok, err, asked, c.kind, c.asked)
		}
	}
}

func TestWritesThatAreTooBigAreRefusedBeforeTheyAreSent(t *testing.T) {
	f, err := NewFollower(FollowerConfig{Dir: t.TempDir()}, Deps{Relays: []func(context.Context) (net.Conn, error){
		func(context.Context) (net.Conn, error) { t.Error("asked a relay"); return nil, net.ErrClosed },
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), "k", make([]byte, MaxValue+1)); meridian.KindOf(err) != meridian.TooLarge {
		t.Errorf("value: %v", err)
	}
	if err := f.Put(t.Context(), string(make([]byte, MaxKey+1)), nil); meridian.KindOf(err) != meridian.Invalid {
		t.Errorf("key: %v", err)
	}
}
