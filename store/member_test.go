package store

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"meridian"
)

// patience bounds each wait of these tests; none waits that long unless it fails.
const patience = 30 * time.Second

// A running is a store that a test runs.
type running struct {
	Store
	t      *testing.T
	name   string
	cancel context.CancelFunc
	ready  chan struct{}
	done   chan struct{}
	err    error // of Run, after done
}

func run(t *testing.T, name string, s Store) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Store: s, t: t, name: name, cancel: cancel, ready: make(chan struct{}), done: make(chan struct{})}
	go func() {
		r.err = s.Run(ctx, func() { close(r.ready) })
		close(r.done)
	}()
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

func (r *running) up() *running {
	r.t.Helper()
	select {
	case <-r.ready:
	case <-r.done:
		r.t.Fatalf("%s ended: %v", r.name, r.err)
	case <-time.After(patience):
		r.t.Fatalf("%s is not ready", r.name)
	}
	return r
}

func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	<-r.done
	if r.err != nil {
		r.t.Errorf("%s ended with %v", r.name, r.err)
	}
}

func (r *running) put(key, value string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Put(ctx, key, []byte(value)); err != nil {
		r.t.Fatalf("%s: put %s: %v", r.name, key, err)
	}
}

// sees waits until the key has the value; "" means that it is not there.
func (r *running) sees(key, want string) {
	r.t.Helper()
	r.await(patience, func(v *View) bool {
		e, _ := v.Get(key)
		return string(e.Value) == want
	})
}

// await waits for a view that is as wanted.
func (r *running) await(limit time.Duration, wanted func(*View) bool) {
	r.t.Helper()
	late := time.After(limit)
	for {
		changed := r.Watch()
		if wanted(r.Now()) {
			return
		}
		select {
		case <-changed:
		case <-late:
			r.t.Fatalf("%s: still %v at %d", r.name, r.Now().entries, r.Now().Rev())
		}
	}
}

// voters makes three members whose sockets are all in this process's folder.
type voters struct {
	t   *testing.T
	dir string
	all map[string]string
}

func newVoters(t *testing.T) *voters {
	dir := t.TempDir()
	t.Chdir(dir)
	return &voters{t: t, dir: dir, all: map[string]string{"a": "", "b": "", "c": ""}}
}

func (v *voters) start(name string) *running {
	v.t.Helper()
	m, err := NewMember(MemberConfig{
		Dir: filepath.Join(v.dir, "state-"+name), Name: name, Peers: v.all,
		Heartbeat: 50 * time.Millisecond,
	}, Deps{Log: slog.New(slog.NewTextHandler(v.t.Output(), nil)).With("member", name)})
	if err != nil {
		v.t.Fatal(err)
	}
	return run(v.t, name, m)
}

func TestWritesGoOnWithoutOneMember(t *testing.T) {
	v := newVoters(t)
	a, b, c := v.start("a"), v.start("b"), v.start("c")
	a.up().put("k", "1")
	b.up().sees("k", "1")
	c.up().sees("k", "1")
	a.stop()
	b.put("k", "2")
	c.sees("k", "2")
	a = v.start("a")
	a.up().sees("k", "2")
}

func TestWithoutAMajorityReadsGoOnAndWritesSayWhy(t *testing.T) {
	v := newVoters(t)
	a, b, c := v.start("a"), v.start("b"), v.start("c")
	a.up().put("k", "1")
	b.up().sees("k", "1")
	c.up()
	a.stop()
	c.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	err := b.Put(ctx, "k", []byte("2"))
	if meridian.KindOf(err) != meridian.Unavailable {
		t.Errorf("put: %v (%s)", err, meridian.KindOf(err))
	}
	t.Log(err)
	b.sees("k", "1")
	b.stop()
	b = v.start("b").up() // from the copy on disk: nobody else is there
	b.sees("k", "1")
}
