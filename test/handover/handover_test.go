// Package handover restarts nodes of `meridian serve` under load: real processes,
// their sockets and signals.
package handover_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"meridian/test/harness"
)

// client returns one that speaks HTTP/1.1 and reuses connections.
func (s *site) client() *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.roots, ServerName: domain}, MaxIdleConnsPerHost: 8,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.https())
		}}}
}

// A load is one client that asks again and again.
type load struct {
	name string
	ask  func(context.Context) error
}

// loads are clients of each kind.
func (s *site) loads() []load {
	get := func(c *http.Client) func(context.Context) error {
		return func(ctx context.Context) error { return ask(ctx, c) }
	}
	kept, fresh, two := s.client(), s.client(), s.client()
	fresh.Transport.(*http.Transport).DisableKeepAlives = true
	two.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	return []load{{"HTTP/1.1, connections kept", get(kept)}, {"HTTP/1.1, connections of one request", get(fresh)}, {"HTTP/2", get(two)}}
}

// ask makes a POST, which no client repeats by itself.
func ask(ctx context.Context, c *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+domain+"/", nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || string(b) != "here" {
		return fmt.Errorf("%s %q %w", resp.Status, b, err)
	}
	return nil
}

// A tally is what became of the requests of a load.
type tally struct {
	good   atomic.Int64
	mu     sync.Mutex // guards what follows
	failed []error
}

// under runs do while the clients ask, four of each kind, and returns what became
// of their requests. more returns once each kind has got some more answers.
func under(t *testing.T, loads []load, do func(more func())) map[string]*tally {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := map[string]*tally{}
	var all sync.WaitGroup
	for _, l := range loads {
		count := &tally{}
		out[l.name] = count
		for range 4 {
			all.Go(func() {
				tick := time.NewTicker(5 * time.Millisecond) // a client that pauses also meets connections that rest
				defer tick.Stop()
				for ctx.Err() == nil {
					if err := l.ask(context.WithoutCancel(ctx)); err != nil {
						count.mu.Lock()
						count.failed = append(count.failed, err)
						count.mu.Unlock()
					} else {
						count.good.Add(1)
					}
					<-tick.C
				}
			})
		}
	}
	do(func() {
		for _, r := range out {
			want := r.good.Load() + 20
			harness.Eventually(t, 30*time.Second, func() error {
				if n := r.good.Load(); n < want {
					return fmt.Errorf("%d answers, want %d", n, want)
				}
				return nil
			})
		}
	})
	stop()
	all.Wait()
	return out
}

func here(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "here") }

// TestAnEdgeIsRestartedAndNoRequestFails restarts an edge five times while
// clients of each protocol ask. Control: TestAnEdgeThatIsEndedAndStartedRefuses.
func TestAnEdgeIsRestartedAndNoRequestFails(t *testing.T) {
	s := newSite(t, "http3: off", here)
	s.up()
	p := s.procs["us-east-1/edge"]
	const restarts = 5
	results := under(t, s.loads(), func(more func()) {
		pid := p.cmd.Process.Pid
		for i := range restarts {
			more()
			if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			harness.Eventually(t, 30*time.Second, func() error {
				if n := p.said(`"the next process has taken this one's place"`); n != i+1 {
					return fmt.Errorf("%d of %d restarts", n, i+1)
				}
				return nil
			})
			pid = p.successor()
		}
		more()
	})
	for name, r := range results {
		t.Logf("%s: %d good, %d failed", name, r.good.Load(), len(r.failed))
		if len(r.failed) > 0 || r.good.Load() < 20*restarts {
			t.Errorf("%s: %d good, failed: %v", name, r.good.Load(), first(r.failed))
		}
	}
}

func first(errs []error) error {
	return errors.Join(errs[:min(len(errs), 5)]...)
}

// TestAnEdgeThatIsEndedAndStartedRefuses is the control of the hand-over: without
// it requests fail.
func TestAnEdgeThatIsEndedAndStartedRefuses(t *testing.T) {
	s := newSite(t, "http3: off", here)
	s.up()
	results := under(t, s.loads()[1:2], func(func()) {
		p := s.procs["us-east-1/edge"]
		p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.end
		s.serve("us-east-1/edge")
		s.answers()
	})
	for name, r := range results {
		refused := 0
		for _, err := range r.failed {
			if errors.Is(err, syscall.ECONNREFUSED) {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("%s: %d good, and nobody was refused: %v", name, r.good.Load(), first(r.failed))
		}
	}
}
