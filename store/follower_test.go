package store

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian"
)

// relayed serves a member's relay on a socket and returns how to reach it.
func relayed(t *testing.T, m *running) (open func(context.Context) (net.Conn, error), end func()) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "relay")
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Store.(*Member).Serve(ctx, l) }()
	end = func() { cancel(); <-done; done <- nil }
	t.Cleanup(end)
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", name)
	}, end
}

func follow(t *testing.T, dir string, relays ...func(context.Context) (net.Conn, error)) *running {
	t.Helper()
	f, err := NewFollower(FollowerConfig{Dir: dir}, Deps{Relays: relays, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return run(t, "follower", f)
}

func TestFollowerSeesChangesAndWrites(t *testing.T) {
	v := newVoters(t)
	a, b := v.start("a"), v.start("b")
	v.start("c").up()
	a.up().put("k/1", "old")
	a.put("k/2", "x")
	ra, endA := relayed(t, a)
	rb, _ := relayed(t, b.up())
	dir := t.TempDir()
	f := follow(t, dir, ra, rb).up()
	f.sees("k/1", "old")
	f.put("k/1", "new") // through a
	a.sees("k/1", "new")
	if got := f.Now().Prefix("k/"); len(got) != 2 {
		t.Errorf("prefix: %v", got)
	}

	endA() // b takes over
	b.put("k/3", "y")
	f.sees("k/3", "y")
	if err := f.Delete(t.Context(), "k/2"); err != nil {
		t.Fatal(err)
	}
	f.sees("k/2", "")

	f.stop()
	nobody := func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }
	f = follow(t, dir, nobody).up() // at once, from its copy
	f.sees("k/1", "new")
	if err := f.Put(t.Context(), "k/1", nil); meridian.KindOf(err) != meridian.Unavailable {
		t.Errorf("put with nobody there: %v", err)
	}
}

func TestOneOfTwoCompareAndSwapsWins(t *testing.T) {
	v := newVoters(t)
	a, b := v.start("a"), v.start("b")
	v.start("c")
	open, _ := relayed(t, a.up())
	f := follow(t, t.TempDir(), open).up()
	b.up()
	for round := range 5 {
		was, _ := a.Now().Get("lease")
		wins := make(chan bool)
		for _, s := range []*running{b, f} {
			go func() {
				ok, err := s.CompareAndSwap(context.Background(), "lease", was.Rev, []byte(s.name))
				if err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
				wins <- ok
			}()
		}
		if x, y := <-wins, <-wins; x == y {
			t.Fatalf("round %d: both got %v", round, x)
		}
		a.await(patience, func(now *View) bool { e, _ := now.Get("lease"); return e.Rev > was.Rev })
	}
}

func TestCopyThatIsNotWholeIsRefused(t *testing.T) {
	good := newView(7, 3, []Entry{{Key: "k", Value: []byte("v"), Rev: 3}})
	file, err := encode(good)
	if err != nil {
		t.Fatal(err)
	}
	broken := map[string][]byte{
		"empty":       {},
		"cut off":     file[:len(file)-5],
		"changed":     bytes.Replace(file, []byte(`"rev":3`), []byte(`"rev":4`), 1),
		"not a copy":  []byte("hello\nworld"),
		"other forms": bytes.Replace(file, []byte("meridian-store 1"), []byte("meridian-store 9"), 1),
	}
	nobody := func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }
	for name, content := range broken {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "copy"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			f, err := NewFollower(FollowerConfig{Dir: dir}, Deps{
				Relays: []func(context.Context) (net.Conn, error){nobody},
				Log:    slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			if f.restore() {
				t.Error("it was taken")
			}
			if !strings.Contains(log.String(), "refused") {
				t.Errorf("the log does not say so: %s", &log)
			}
		})
	}
	if v, err := decode(file); err != nil || v.Rev() != 3 || v.Len() != 1 {
		t.Errorf("the whole copy: %v, %v", v, err)
	}
}

func FuzzDecode(f *testing.F) {
	file, err := encode(newView(7, 3, []Entry{{Key: "k", Value: []byte("v"), Rev: 3}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte("meridian-store 1 \n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err == nil && v.Rev() <= 0 {
			t.Error("took a copy without a revision")
		}
	})
}
