package store

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

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

// TestMemberWhoseLogIsBrokenRefusesAndItsNodeGoesOn flips bytes in a member's
// log (R13): it must not vote on what it cannot trust, nor take its node down.
func TestMemberWhoseLogIsBrokenRefusesAndItsNodeGoesOn(t *testing.T) {
	v := newVoters(t)
	a, b, c := v.start("a"), v.start("b"), v.start("c")
	a.up().put("k", "1")
	b.up().sees("k", "1")
	c.up()
	a.stop()
	logs, err := filepath.Glob(filepath.Join(v.dir, "state-a", "etcd", "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no log: %v", err)
	}
	wal, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 200; i < 260; i++ {
		wal[i] ^= 0xff
	}
	if err := os.WriteFile(logs[0], wal, 0o600); err != nil {
		t.Fatal(err)
	}
	a = v.start("a").up() // from its copy
	a.sees("k", "1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := a.Put(ctx, "k", []byte("2")); meridian.KindOf(err) != meridian.Unavailable {
		t.Errorf("the broken member wrote: %v", err)
	}
	b.put("k", "3")
	a.sees("k", "1")
	a.stop()
}

func TestEtcdThatGivesUpEndsNeitherTheProcessNorInSilence(t *testing.T) {
	for _, giveUp := range []func(*zap.Logger){
		func(l *zap.Logger) { l.Fatal("broken", zap.String("disk", "sda")) },
		func(l *zap.Logger) { l.Panic("broken") },
	} {
		var said, log strings.Builder
		done := make(chan struct{})
		go func() {
			defer close(done)
			giveUp(newZap(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), func(msg string) { said.WriteString(msg) }))
			t.Error("it went on")
		}()
		<-done
		if said.String() != "broken" || !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("told %q, logged %s", &said, &log)
		}
	}
}

func TestMembersThatCannotWorkAreRefused(t *testing.T) {
	for want, cfg := range map[string]MemberConfig{
		"no folder":         {Name: "a", Peers: map[string]string{"a": ""}},
		"not among":         {Name: "a", Dir: "d", Peers: map[string]string{"b": ""}},
		"have the same URL": {Name: "a", Dir: "d", Peers: map[string]string{"a": "", "A": ""}},
		"want unix://":      {Name: "a", Dir: "d", Peers: map[string]string{"a": "http://127.0.0.1:2380"}},
	} {
		if _, err := NewMember(cfg, Deps{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}
