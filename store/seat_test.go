package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestDecideSeats runs the script in testdata/seats: who votes, who learns, who
// should vote, and the one step that comes next; "all" takes steps until none is
// due.
func TestDecideSeats(t *testing.T) {
	datadriven.RunTest(t, "testdata/seats", func(t *testing.T, d *datadriven.TestData) string {
		s := seating{self: "iad"}
		for _, a := range d.CmdArgs {
			switch a.Key {
			case "votes":
				s.votes = a.Vals
			case "learn":
				s.learn = a.Vals
			case "wanted":
				s.wanted = a.Vals
			case "self":
				s.self = a.Vals[0]
			case "failed":
				d.ScanArgs(t, "failed", &s.failed)
			}
		}
		if d.Cmd == "next" {
			n := decideSeats(s)
			return fmt.Sprintf("%s %s: %s\n", n.do, n.who, n.why)
		}
		var b strings.Builder
		for range 20 {
			n := decideSeats(s)
			gone := func(x string) bool { return x == n.who }
			switch n.do {
			case "":
				return b.String()
			case "add":
				s.learn = append(s.learn, n.who)
			case "promote":
				s.learn, s.votes = slices.DeleteFunc(s.learn, gone), append(s.votes, n.who)
			case "remove":
				s.learn, s.votes = slices.DeleteFunc(s.learn, gone), slices.DeleteFunc(s.votes, gone)
			case "yield":
				s.self = n.who
			}
			fmt.Fprintf(&b, "%s %s: %d votes\n", n.do, n.who, len(s.votes))
		}
		t.Fatalf("%s: it never ends: %s", d.Pos, b.String())
		return ""
	})
}

// seats is a store whose members change.
type seats struct {
	*voters
	names []string
	all   map[string]*running
	mu    sync.Mutex // guards what follows
	want  []string
}

// wanted says who should vote.
func (s *seats) wanted([]string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.want)
}

func (s *seats) set(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want = names
}

// newSeats runs nodes that may all be members, of which the first founds the
// store alone. Each reaches the others' relays.
func newSeats(t *testing.T, names ...string) *seats {
	s := &seats{voters: newVoters(t), names: names, all: map[string]*running{}}
	s.set(names[0])
	for _, name := range names {
		s.begin(name)
	}
	return s
}

func (s *seats) begin(name string) {
	s.t.Helper()
	deps := Deps{Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)).With("member", name)}
	for _, to := range s.names {
		if to != name {
			deps.Relays = append(deps.Relays, s.way(to))
		}
	}
	m, err := NewMember(MemberConfig{
		Dir: filepath.Join(s.dir, "state-"+name), Name: name, Peers: map[string]string{s.names[0]: ""}, Names: s.names, Heartbeat: 50 * time.Millisecond,
	}, deps)
	if err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(s.dir, "relay-"+name))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { m.Serve(ctx, l) })
	parts.Go(func() { m.KeepSeats(ctx, s.wanted) })
	r := run(s.t, name, m)
	s.t.Cleanup(func() { cancel(); parts.Wait() })
	s.all[name] = r
}

// vote waits until exactly these vote, in the eyes of the first of them.
func (s *seats) vote(names ...string) {
	s.t.Helper()
	s.set(names...)
	slices.Sort(names)
	end := time.Now().Add(2 * patience)
	for got := []string(nil); !slices.Equal(got, names); {
		for _, name := range names {
			if got = s.all[name].Store.(*Member).Votes(); !slices.Equal(got, names) {
				break
			}
		}
		if time.Now().After(end) {
			s.t.Fatalf("%v vote, want %v", got, names)
		}
		pause(context.Background(), 20*time.Millisecond)
	}
}

// TestSeatsChangeWhileTheStoreIsWrittenTo: one voter becomes three, another takes
// one's place, and one is left, while a node that is never a member writes. No
// write fails, and all see the last.
func TestSeatsChangeWhileTheStoreIsWrittenTo(t *testing.T) {
	s := newSeats(t, "a", "b", "c", "d")
	s.all["a"].up()
	for _, name := range s.names[1:] {
		s.all[name].up()
	}
	ctx, cancel := context.WithCancel(t.Context())
	writes, done := 0, make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := s.all["d"].Put(context.WithoutCancel(ctx), "k", fmt.Append(nil, writes)); err != nil {
				done <- err
				return
			}
			writes++
		}
		done <- nil
	}()
	s.vote("a", "b", "c")
	s.vote("b", "c", "d") // the first leads, and gives its seat up
	s.vote("d")
	s.vote("d", "a") // one that was a member may be one again
	cancel()
	if err := <-done; err != nil {
		t.Errorf("after %d writes: %v", writes, err)
	}
	s.all["b"].put("k", "last")
	for _, r := range s.all {
		r.sees("k", "last")
	}
	t.Logf("%d writes", writes)
}

// TestANodeThatWasNoMemberFoundsNothing: a node that is named a founder by its
// own file, and comes to a store that others have, waits for a seat. Control: where
// nobody has a store yet, it founds one.
func TestANodeThatWasNoMemberFoundsNothing(t *testing.T) {
	s := newSeats(t, "a", "b")
	s.all["a"].up().put("k", "1")
	seated := func(relays ...func(context.Context) (net.Conn, error)) (MemberConfig, error) {
		m, err := NewMember(MemberConfig{Dir: filepath.Join(t.TempDir(), "x"), Name: "x", Peers: map[string]string{"x": ""}}, Deps{Relays: relays})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return m.takeSeat(ctx)
	}
	if c, err := seated(s.way("a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it takes a seat: %+v, %v", c, err)
	}
	if _, err := seated(); err != nil {
		t.Errorf("control: %v", err)
	}
}

// way reaches a node's relay.
func (s *seats) way(to string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(s.dir, "relay-"+to))
	}
}
