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
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"meridian/server"
	"meridian/test/harness"
)

// patience is how long a client waits for an answer: a machine with other work
// takes its time to start a process.
const patience = time.Minute

// client returns one that speaks HTTP/1.1 and reuses connections.
func (s *site) client() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
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
		return func(ctx context.Context) error { return ask(ctx, c, http.MethodPost) }
	}
	kept, fresh, two := s.client(), s.client(), s.client()
	fresh.Transport.(*http.Transport).DisableKeepAlives = true
	two.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	three, anew := s.client3(), func(ctx context.Context) error {
		c := s.client3()
		defer c.Transport.(*http3.Transport).Close()
		return ask(ctx, c, http.MethodPost)
	}
	return []load{
		{"HTTP/1.1, connections kept", get(kept)}, {"HTTP/1.1, connections of one request", get(fresh)}, {"HTTP/2", get(two)},
		{"HTTP/3", func(ctx context.Context) error { return ask(ctx, three, http.MethodPost) }}, {"HTTP/3, connections of one request", anew},
	}
}

// inTurn are clients of a node whose processes follow one another. A connection
// of HTTP/1.1 that rests is closed sooner, and who asks on it then asks again, as
// net/http does by itself what may be asked twice.
func (s *site) inTurn() []load {
	kept, loads := s.client(), s.loads()[1:3]
	return append(loads, load{"HTTP/1.1, connections kept", func(ctx context.Context) error { return ask(ctx, kept, http.MethodGet) }})
}

// client3 returns a client that speaks HTTP/3.
func (s *site) client3() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.roots, ServerName: domain},
		Dial: func(ctx context.Context, _ string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, s.https(), t, q)
		}}}
}

// ask makes a request. No client repeats a POST by itself.
func ask(ctx context.Context, c *http.Client, method string) error {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+domain+"/", nil)
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
	s := newSite(t, twoNodes, "", here)
	s.up()
	p := s.procs["us-east-1/edge"]
	const restarts = 5
	results := under(t, s.loads(), func(more func()) {
		for i := range restarts {
			more()
			p.cmd.Process.Signal(syscall.SIGUSR2) // it stays, whatever process has its place
			p.restarts(t, i+1)
		}
		more()
	})
	allGood(t, results, 20*restarts)
}

// allGood requires that no request failed, and that there were so many.
func allGood(t *testing.T, results map[string]*tally, least int64) {
	t.Helper()
	for name, r := range results {
		t.Logf("%s: %d good, %d failed", name, r.good.Load(), len(r.failed))
		if len(r.failed) > 0 || r.good.Load() < least {
			t.Errorf("%s: failed: %v", name, first(r.failed))
		}
	}
}

// TestANodeWithARegionIsRestartedAndWhoConnectsWaits restarts region and edge in
// one process, which cannot run twice.
func TestANodeWithARegionIsRestartedAndWhoConnectsWaits(t *testing.T) {
	s := newSite(t, oneNode, "", here)
	s.up()
	results := under(t, s.inTurn(), func(more func()) {
		more()
		if out := s.run("restart", "--state", s.state("us-east-1")); !strings.HasPrefix(out, "restarted after ") {
			t.Errorf("restart said %q", out)
		}
		more()
	})
	allGood(t, results, 40)
}

// TestABadFileLeavesTheOldProcess asks for a restart with half of a file, and with
// a file whose mistake shows only when all parts have stopped.
func TestABadFileLeavesTheOldProcess(t *testing.T) {
	s := newSite(t, oneNode, "", here)
	s.up()
	good, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	pid := server.Holder(s.state("us-east-1"))
	results := under(t, s.inTurn(), func(more func()) {
		more()
		s.write(string(good[:len(good)/2]))
		_, err := s.try("restart", "--state", s.state("us-east-1"))
		if err == nil || !strings.Contains(err.Error(), "goes on") || !strings.Contains(err.Error(), s.file) {
			t.Errorf("half of a file: %v", err)
		}
		more()
		taken, err := net.Listen("tcp", s.edge+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		ports := fmt.Sprintf("roles: [region, edge, control], ports: {admin: %d}", taken.Addr().(*net.TCPAddr).Port)
		s.write(strings.Replace(string(good), "roles: [region, edge, control]", ports, 1))
		if _, err := s.try("restart", "--state", s.state("us-east-1")); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("a port that somebody else has: %v", err)
		}
		more()
	})
	allGood(t, results, 60)
	if now := server.Holder(s.state("us-east-1")); now != pid {
		t.Errorf("process %d has the place of %d", now, pid)
	}
	s.write(string(good))
	s.run("restart", "--state", s.state("us-east-1"))
	if now := server.Holder(s.state("us-east-1")); now == pid {
		t.Error("the same process has the place still")
	}
}

// TestNodesOfAnUpWorldAreRestarted by the command, one after the other.
func TestNodesOfAnUpWorldAreRestarted(t *testing.T) {
	w := harness.Up(t, "test/handover/testdata/world.yaml", filepath.Join(harness.Folder(t), "state"))
	st := w.Status()
	c := &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: st.Roots(t), ServerName: st.Domain}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", st.Edge("us-east-1"))
		}}}
	results := under(t, []load{{"GET", func(ctx context.Context) error {
		resp, err := c.Get("https://" + st.Domain + "/hello/you")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s %w", resp.Status, b, err)
		}
		return nil
	}}}, func(more func()) {
		more()
		w.Do("restart", "us-east-1/edge")
		more()
		w.Do("restart", "control", "us-east-1")
		more()
	})
	allGood(t, results, 60)
	before := map[string]int{}
	for _, n := range st.Nodes {
		before[n.Name] = n.PID
	}
	for _, n := range w.Status().Nodes {
		if restarted := n.Name != "eu-west-1"; (n.PID != before[n.Name]) != restarted {
			t.Errorf("%s was process %d, and is %d", n.Name, before[n.Name], n.PID)
		}
	}
	if _, err := w.Try(time.Minute, "restart", "nowhere"); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a node that is none: %v", err)
	}
}

func first(errs []error) error {
	return errors.Join(errs[:min(len(errs), 5)]...)
}

// TestAnEdgeThatIsEndedAndStartedRefuses is the control of the hand-over: without
// it requests fail.
func TestAnEdgeThatIsEndedAndStartedRefuses(t *testing.T) {
	s := newSite(t, twoNodes, "", here)
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
