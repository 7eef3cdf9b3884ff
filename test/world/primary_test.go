package world_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/test/harness"
)

const helloFile = "examples/hello/meridian.yaml"

// TestPrimaryMovesUnderLoad moves the primary to each region in turn, while
// clients of every region write. No client sees an error, and the ledger holds
// each acknowledged write once.
func TestPrimaryMovesUnderLoad(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, helloFile, filepath.Join(harness.Folder(t), "world"))
	s := w.Status()
	exec(t, s.Regions[0].Postgres, "CREATE TABLE ledger (id text PRIMARY KEY)")
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	books := make([]*book, len(s.Regions))
	for i, r := range s.Regions {
		books[i] = &book{region: r.Name}
		writers.Go(func() { books[i].write(ctx, r.Postgres) })
	}
	for _, to := range []int{1, 2, 0} {
		for _, b := range books {
			b.grow(t, 5)
		}
		t.Log(strings.TrimSpace(w.Do("switchover", s.Regions[to].Name, "--yes")))
	}
	for _, b := range books {
		b.grow(t, 5)
	}
	stop()
	writers.Wait()
	total := 0
	for _, b := range books {
		if b.err != nil {
			t.Errorf("a client in %s, after %d writes: %v", b.region, b.written, b.err)
		}
		total += b.written
	}
	holds(t, s.Regions[1].Postgres, total) // each acknowledged write
	t.Run("a pledge that cannot be reported", func(t *testing.T) { pledges(t, w, s, 0, 2) })
}

// TestLostPrimaryIsReplaced kills the primary's region: another takes the
// writes by itself, and the lost one comes back as a standby that catches up.
func TestLostPrimaryIsReplaced(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, helloFile, filepath.Join(harness.Folder(t), "world"))
	s := w.Status()
	third := s.Regions[2].Postgres
	exec(t, third, "CREATE TABLE ledger (id text PRIMARY KEY)")
	exec(t, third, "INSERT INTO ledger VALUES ('before')")
	lost := s.Regions[0].Name
	w.Do("fault", "down", lost)
	begin := time.Now()
	harness.Eventually(t, 30*time.Second, func() error { return try(third, "INSERT INTO ledger VALUES ('after') ON CONFLICT DO NOTHING") })
	t.Logf("writes were back after %v", time.Since(begin).Round(100*time.Millisecond))
	holds(t, third, 2)
	if p := primaries(w.Status()); len(p) != 1 || p[0] == lost {
		t.Errorf("primaries: %v", p)
	}
	w.Do("fault", "heal", lost)
	harness.Eventually(t, 30*time.Second, func() error {
		if err := try(s.Regions[0].Postgres, "SELECT 1"); err != nil {
			return err
		}
		if p := primaries(w.Status()); len(p) != 1 || p[0] == lost {
			return fmt.Errorf("primaries: %v", p)
		}
		return nil
	})
	if said := w.Do("lost-writes"); !strings.Contains(said, "no acknowledged write") {
		t.Errorf("lost-writes says %q, though every row was there", said)
	}
	exec(t, s.Regions[0].Postgres, "INSERT INTO ledger VALUES ('from the lost one')")
	holds(t, s.Regions[0].Postgres, 3)
}

// holds waits until the ledger has so many rows at the least by a connection of its own,
// whose reads may be older than what another one wrote.
func holds(t *testing.T, url string, rows int) {
	t.Helper()
	harness.Eventually(t, 30*time.Second, func() error {
		if got := count(t, url, "SELECT count(*) FROM ledger"); got < rows {
			return fmt.Errorf("%d rows, want %d at the least", got, rows)
		}
		return nil
	})
}

func primaries(s harness.Status) (out []string) {
	for _, r := range s.Regions {
		if r.Primary {
			out = append(out, r.Name)
		}
	}
	return out
}

// A book is what one client wrote.
type book struct {
	region string

	mu      sync.Mutex // guards what follows
	written int
	err     error
	grown   chan struct{} // closed at the next write or error
}

// write inserts rows over one connection until ctx is over or one fails.
func (b *book) write(ctx context.Context, dsn string) {
	c, err := pgx.Connect(ctx, dsn)
	for i := 0; err == nil && ctx.Err() == nil; i++ {
		if _, err = c.Exec(context.WithoutCancel(ctx), "INSERT INTO ledger VALUES ($1)", fmt.Sprintf("%s %d", b.region, i)); err == nil {
			b.note(nil)
		}
	}
	if err != nil {
		b.note(err)
	}
	if c != nil {
		c.Close(context.WithoutCancel(ctx))
	}
}

func (b *book) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err = err; err == nil {
		b.written++
	}
	if b.grown != nil {
		close(b.grown)
		b.grown = nil
	}
}

// grow waits for n more writes, or an error.
func (b *book) grow(t *testing.T, n int) {
	t.Helper()
	patience := time.After(30 * time.Second)
	b.mu.Lock()
	want := b.written + n
	b.mu.Unlock()
	for {
		b.mu.Lock()
		if b.written >= want || b.err != nil {
			b.mu.Unlock()
			return
		}
		if b.grown == nil {
			b.grown = make(chan struct{})
		}
		grown := b.grown
		b.mu.Unlock()
		select {
		case <-grown:
		case <-patience:
			t.Fatalf("the client in %s does not get on", b.region)
		}
	}
}

// try runs a statement over a connection of its own.
func try(dsn, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second) // a probe: its end must not hang on the test's
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, sql)
	return errors.Join(err, c.Close(ctx))
}

func exec(t *testing.T, dsn, sql string) {
	t.Helper()
	if err := try(dsn, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func count(t *testing.T, dsn, sql string) int {
	t.Helper()
	return ask[int](t, dsn, sql)
}

// ask returns the one value of a query.
func ask[T any](t *testing.T, dsn, sql string) (v T) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	if err := c.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// TestWhatWasLostIsListed cuts the primary's region off while it still may
// take writes. What it acknowledged then nobody else has; when it is back, it
// follows the new primary, and the write is listed.
func TestWhatWasLostIsListed(t *testing.T) {
	t.Parallel()
	w := harness.Up(t, helloFile, filepath.Join(harness.Folder(t), "world"))
	s := w.Status()
	primary, third := s.Regions[0], s.Regions[2].Postgres
	exec(t, primary.Postgres, "CREATE TABLE ledger (id text PRIMARY KEY)")
	harness.Eventually(t, 10*time.Second, func() error { return try(third, "SELECT FROM ledger") })
	for _, other := range s.Regions[1:] {
		w.Do("fault", "cut", primary.Name, other.Name)
	}
	exec(t, primary.Postgres, "INSERT INTO ledger VALUES ('lost')")
	status, counted := visit(t, s, primary.Name, "POST", "")
	if status != http.StatusCreated {
		t.Fatalf("a visit of the region that was cut off: %d", status)
	}
	_, read := visit(t, s, primary.Name, "GET", "")
	harness.Eventually(t, 30*time.Second, func() error { return try(third, "INSERT INTO ledger VALUES ('kept') ON CONFLICT DO NOTHING") })
	if err := try(primary.Postgres, "INSERT INTO ledger VALUES ('by two')"); err == nil {
		t.Error("two regions acknowledge writes")
	}
	handle := toldOnce(t, s, s.Regions[2].Name, counted.Get("Meridian-Consistency"))
	if status, h := visit(t, s, s.Regions[2].Name, "GET", read.Get("Meridian-Consistency")); status != http.StatusOK || h.Get("Meridian-Lost-Write") != "" {
		t.Errorf("who only read hears %d, %s", status, h.Get("Meridian-Lost-Write"))
	}
	w.Do("fault", "heal")
	harness.Eventually(t, 40*time.Second, func() error {
		said, err := w.Try(20*time.Second, "lost-writes")
		if err == nil && (strings.Count(said, primary.Name) < 2 || !strings.Contains(said, handle)) {
			err = fmt.Errorf("lost-writes says %q, without %s", said, handle)
		}
		return err
	})
	harness.Eventually(t, 20*time.Second, func() error {
		return try(primary.Postgres, "INSERT INTO ledger VALUES ('after') ON CONFLICT DO NOTHING")
	})
	if got := count(t, third, "SELECT count(*) FROM ledger WHERE id IN ('lost', 'by two')"); got != 0 {
		t.Errorf("%d rows of an abandoned history are there", got)
	}
}

// visit sends a request for /visits through a place's edge, with a consistency
// token unless that is "".
func visit(t *testing.T, s harness.Status, place, method, token string) (int, http.Header) {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.Roots(t)}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Edge(place))
		},
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.Domain+"/visits", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Meridian-Consistency", token)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// toldOnce comes to an edge with the token of a write that is lost: it is told
// so, with a token with which it goes on. It returns the write's handle.
func toldOnce(t *testing.T, s harness.Status, place, token string) string {
	t.Helper()
	var told http.Header
	harness.Eventually(t, 20*time.Second, func() error {
		status, h := visit(t, s, place, "GET", token)
		switch status {
		case http.StatusConflict:
			told = h
		case http.StatusServiceUnavailable:
			return errors.New("nobody can tell yet")
		default:
			t.Fatalf("whose write is lost hears %d", status)
		}
		return nil
	})
	handle, fresh := told.Get("Meridian-Lost-Write"), told.Get("Meridian-Consistency")
	if handle == "" || !strings.Contains(token, handle) || strings.Contains(fresh, handle) {
		t.Errorf("the answer names %q, and brings the token %q after %q", handle, fresh, token)
	}
	if status, h := visit(t, s, place, "GET", fresh); status != http.StatusOK || h.Get("Meridian-Lost-Write") != "" {
		t.Errorf("with the fresh token: %d, %s", status, h.Get("Meridian-Lost-Write"))
	}
	return handle
}
