package instance

import (
	"context"
	"net"
	"testing"
	"time"
)

// TestWhoRaisedItsTermIsFollowedOn opens connections to the primary of term 5. They
// stay when that one goes on in term 7, and are cut by another's term.
func TestWhoRaisedItsTermIsFollowedOn(t *testing.T) {
	for name, c := range map[string]struct {
		term, took uint64
		stays      bool
	}{
		"raised":                        {7, 5, true},
		"raised again":                  {9, 3, true},
		"another's":                     {7, 7, false},
		"another's, and raised since":   {9, 7, false},
		"the same term, told once more": {5, 5, true},
	} {
		g := newGate(func(string) error { return nil })
		if err := g.follow(5, 5); err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		defer there.Close()
		if _, err := g.dial(t.Context(), func(_ context.Context, term uint64) (net.Conn, error) { return here, nil }); err != nil {
			t.Fatal(err)
		}
		if err := g.follow(c.term, c.took); err != nil || g.term() != c.term {
			t.Errorf("%s: follows in term %d: %v", name, g.term(), err)
		}
		there.SetReadDeadline(time.Now()) // a pipe that was closed says so all the same
		_, err := there.Read(make([]byte, 1))
		if n, ok := err.(net.Error); (ok && n.Timeout()) != c.stays {
			t.Errorf("%s: the connection: %v; stays: %v", name, err, c.stays)
		}
	}
}

// TestWhatIsCopiedLacksItsData holds a copy on its way, and lets the primary raise
// its term meanwhile: the copy goes on.
func TestWhatIsCopiedLacksItsData(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east-1")
	w.all[0].must("CREATE TABLE t (n int)")
	c := w.cluster("eu-west-1")
	w.check(c.Follow(t.Context(), 1))
	release := w.holdAfter(c.cfg.Region, 300<<10)
	defer release()
	c.start(Standby)
	if _, err := c.life.until(w.patient(), func(s lifeState) bool { return s.lacks() == "is copied anew" }); err != nil {
		t.Fatal(err, c.Doing())
	}
	w.check(c.FollowOn(t.Context(), 3, 1))
	release()
	c.up().eventually("SELECT count(*) FROM t", "0")
	if got := c.Lacks(); got != "" || c.Doing() != "" {
		t.Errorf("PostgreSQL is up, and its data %q", got)
	}
}
