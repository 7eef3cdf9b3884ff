package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// TestSilentRelayIsLeft is the cut cable: nothing arrives, and
// nothing says that nothing will.
func TestSilentRelayIsLeft(t *testing.T) {
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

// A shelf is one key of a store, which relays of a test share.
type shelf struct {
	careless bool // does a try whatever the key's revision is
	rev      int64
	value    string
	done     int // tries that took effect
}

func (s *shelf) take(w wireTry) wireFinding {
	if w.Old != s.rev && !s.careless {
		return wireFinding{Rev: s.rev, Entry: &Entry{Key: w.Key, Value: []byte(s.value), Rev: s.rev}}
	}
	s.rev, s.value, s.done = s.rev+1, string(w.Value), s.done+1
	return wireFinding{Did: true, Rev: s.rev}
}

// relay returns how to reach a relay of the shelf. One that is deaf loses the
// try, one that is mute does it and does not say so.
func (s *shelf) relay(deaf, mute bool) func(context.Context) (net.Conn, error) {
	return relayOf(func(p puppet) {
		defer p.conn.Close()
		r, err := http.ReadRequest(bufio.NewReader(p.conn))
		if err != nil {
			return
		}
		var w wireTry
		if json.NewDecoder(r.Body).Decode(&w) != nil || deaf {
			return
		}
		io.Copy(io.Discard, r.Body) // an answer before the end of the question breaks the pipe for who asks
		f := s.take(w)
		if mute {
			return
		}
		b, _ := json.Marshal(f)
		fmt.Fprintf(p.conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	})
}

// TestWriteThatMayHaveBeenSentIsNotDoneTwice lets a relay take a try and die:
// the next is asked, and whether the first did it is found out. The control is
// a store that does not look at the revision.
func TestWriteThatMayHaveBeenSentIsNotDoneTwice(t *testing.T) {
	away := func(context.Context) (net.Conn, error) { return nil, errors.New("away") }
	for _, c := range []struct {
		name       string
		deaf, mute bool
		before     shelf
		ok         bool
		done       int
	}{
		{"the first did it", false, true, shelf{rev: 1}, true, 1},
		{"the first lost it", true, false, shelf{rev: 1}, true, 1},
		{"somebody else was there before", true, false, shelf{rev: 2, value: "theirs"}, false, 0},
		{"control: a careless store", false, true, shelf{rev: 1, careless: true}, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.before
			f, err := NewFollower(FollowerConfig{Dir: t.TempDir()}, Deps{Relays: []func(context.Context) (net.Conn, error){away, s.relay(c.deaf, c.mute), s.relay(false, false)}})
			if err != nil {
				t.Fatal(err)
			}
			r, err := f.do(t.Context(), op{Key: "k", Value: []byte("ours"), CAS: true, OldRev: 1})
			if err != nil || r.OK != c.ok || s.done != c.done {
				t.Errorf("ok %v, %v; done %d times; want %v, done %d times", r.OK, err, s.done, c.ok, c.done)
			}
		})
	}
}

// TestSilentRelayHoldsAWriteForTwoSeconds is a frozen member: its connections
// stand, and nothing comes.
func TestSilentRelayHoldsAWriteForTwoSeconds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{rev: 1}
		frozen := relayOf(func(p puppet) { http.ReadRequest(bufio.NewReader(p.conn)) })
		f, err := NewFollower(FollowerConfig{Dir: dir}, Deps{Relays: []func(context.Context) (net.Conn, error){frozen, s.relay(false, false)}})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []time.Duration{relayPatience + retryPause, 0} { // then it begins with the one that works
			began := time.Now()
			if _, err := f.do(t.Context(), op{Key: "k", CAS: true, OldRev: s.rev}); err != nil || time.Since(began) != want {
				t.Errorf("written after %v (%v), want %v", time.Since(began), err, want)
			}
		}
	})
}

// TestWriteThatIsSeenNeedsNoAnswer has a busy store do a write and tell nobody but
// the view, while a silent relay is waited for. The same value of before is no
// answer, and another's none either.
func TestWriteThatIsSeenNeedsNoAnswer(t *testing.T) {
	for _, c := range []struct {
		name, value string // what the store has once it did the write
		want        meridian.Kind
	}{
		{"it did", "ours", ""},
		{"another was quicker", "theirs", meridian.Unavailable},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			f, err := NewFollower(FollowerConfig{Dir: dir}, Deps{Relays: []func(context.Context) (net.Conn, error){
				relayOf(func(p puppet) { http.ReadRequest(bufio.NewReader(p.conn)) }),
			}})
			if err != nil {
				t.Fatal(err)
			}
			f.apply(one(1, "ours"))
			time.AfterFunc(relayPatience+time.Second, func() { f.apply(one(2, c.value)) })
			began := time.Now()
			ok, err := f.CompareAndSwap(t.Context(), "k", 1, []byte("ours"))
			if meridian.KindOf(err) != c.want || ok != (err == nil) {
				t.Errorf("%s: %v, %v", c.name, ok, err)
			}
			if took := time.Since(began); err == nil && took != relayPatience+time.Second {
				t.Errorf("%s: written after %v", c.name, took)
			}
		})
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
