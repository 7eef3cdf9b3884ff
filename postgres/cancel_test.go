package postgres

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A turnstile lets connections to PostgreSQL through, or makes them wait.
type turnstile struct {
	mu   sync.Mutex // guards what follows
	shut chan struct{}
	held int
}

// close holds connections back until open is called.
func (s *turnstile) close() (open func()) {
	shut := make(chan struct{})
	s.mu.Lock()
	s.shut = shut
	s.mu.Unlock()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.shut = nil
		s.mu.Unlock()
		close(shut)
	})
}

func (s *turnstile) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held > 0
}

// before returns dial behind the turnstile.
func (s *turnstile) before(dial func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		s.pass()
		return dial(ctx)
	}
}

// pass waits while it is shut.
func (s *turnstile) pass() {
	s.mu.Lock()
	shut := s.shut
	if shut != nil {
		s.held++
	}
	s.mu.Unlock()
	if shut != nil {
		<-shut
		s.mu.Lock()
		s.held--
		s.mu.Unlock()
	}
}

// TestALateCancelHitsNothingElse sends a cancel request that reaches PostgreSQL
// only when its statement is over: neither the session's next one, nor that of
// another client on the same server connection, is canceled. Control: where
// nobody waits for the request, it is.
func TestALateCancelHitsNothingElse(t *testing.T) {
	for name, late := range map[string]bool{"": false, "control": true} {
		for _, place := range []string{"here", "from a secondary", "on the standby"} {
			t.Run(place+" "+name, func(t *testing.T) { lateCancel(t, place, late) })
		}
	}
}

func lateCancel(t *testing.T, place string, late bool) {
	var gate turnstile
	w := newWorld(t, func(c *Config, d *Deps) {
		if c.MaxServer = 3; (c.Region == dub) == (place == "on the standby") {
			d.Local = gate.before(d.Local)
		}
	})
	w.iad.cancelLate, w.dub.cancelLate = late, late
	p, server, sleep := w.dub, pair.primary, "select pg_sleep($1), pg_advisory_unlock_all()"
	switch place {
	case "here":
		p = w.iad
	case "on the standby":
		server, sleep = pair.standby, "select pg_sleep($1)"
	}
	root := w.superuser(server)
	sleeps := func() int {
		return get[int](w, root, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'")
	}
	run := func(c *pgx.Conn, seconds float64) <-chan error {
		done := make(chan error, 1)
		go func() { _, err := c.Exec(context.Background(), sleep, seconds); done <- err }()
		return done
	}
	c := w.connect(dsn(p))
	w.exec(c, "select 1")
	first := run(c, 0.3)
	w.eventually("the first statement runs", func() bool { return sleeps() == 1 })
	open := gate.close()
	defer open()
	canceled := make(chan error, 1)
	go func() { canceled <- c.PgConn().CancelRequest(context.Background()) }()
	w.eventually("the request is on its way", gate.waiting)
	if err := <-first; err != nil {
		t.Fatalf("the first statement: %v", err)
	}
	seconds := 0.2
	if late { // it is canceled
		seconds = 20
	}
	next := run(c, seconds)
	if late {
		w.eventually("the next statement runs", func() bool { return sleeps() == 1 })
	} else if n := sleeps(); n > 0 {
		t.Error("the next statement runs before the request is done")
	}
	open()
	if err := <-canceled; err != nil {
		t.Error(err)
	}
	if err := <-next; (state(err) == "57014") != late {
		t.Errorf("the next statement: %v", err)
	}
}

// TestALateCancelSparesTheNextClient is the same for a session that ends: its
// server connection goes to another client.
func TestALateCancelSparesTheNextClient(t *testing.T) {
	var gate turnstile
	w := newWorld(t, func(c *Config, d *Deps) {
		if c.Region == iad {
			d.Local = gate.before(d.Local)
		}
	})
	a := w.connect(dsn(w.iad))
	pid := get[int](w, a, "select pg_backend_pid()")
	root := w.superuser(pair.primary)
	w.exec(root, "select pg_advisory_lock(4711)") // it runs until this is given back
	done := background(a, "select pg_advisory_xact_lock(4711)")
	w.eventually("it runs", func() bool {
		return get[int](w, root, "select count(*) from pg_locks where locktype = 'advisory' and not granted") == 1
	})
	open := gate.close()
	defer open()
	go a.PgConn().CancelRequest(context.Background())
	w.eventually("the request is on its way", gate.waiting)
	w.exec(root, "select pg_advisory_unlock(4711)")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.Close(t.Context())
	w.eventually("the session has ended", func() bool {
		w.iad.mu.Lock()
		defer w.iad.mu.Unlock()
		return len(w.iad.sessions) == 0
	})
	if n := w.iad.pool.Stats().Idle; n > 0 {
		t.Errorf("%d server connections are free for others while a cancel request may hit them", n)
	}
	open()
	w.eventually("the connection is free", func() bool { return w.iad.pool.Stats().Idle == 1 })
	b := w.connect(dsn(w.iad))
	if got := get[int](w, b, "select pg_backend_pid()"); got != pid {
		t.Errorf("another server process, %d: the test shows nothing", got)
	}
	w.exec(b, "select pg_sleep(0.05)")
}
