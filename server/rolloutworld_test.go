package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/edge"
	"meridian/edge/cert"
	"meridian/edge/rollout"
	"meridian/topology"
)

// A rollingEdge is an edge that takes part in rollouts, with a file, an end of
// the store and a jury of its own.
type rollingEdge struct {
	*jury
	*node
	door *edge.Edge
	end  *ledgerEnd
	stop func()
}

// A rollingWorld is some of them, two origins, and clients.
type rollingWorld struct {
	t      *testing.T
	shared *memoryLedger
	hall   hall
	names  []string
	edges  []*rollingEdge
	bad    [2]atomic.Bool // the origin, current or new, answers 500
	urls   [2]string

	deaf    atomic.Value // the name of an edge that hears nobody and is not heard
	wrong   atomic.Int64 // requests of the current version that were not answered as ever
	clients atomic.Int64
}

func newRollingWorld(t *testing.T) *rollingWorld {
	t.Helper()
	w := &rollingWorld{t: t, shared: newLedger(), hall: hall{}, names: []string{"a", "b", "c"}}
	for i := range w.urls {
		s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if w.bad[i].Load() {
				rw.WriteHeader(http.StatusInternalServerError)
			}
			fmt.Fprint(rw, i)
		}))
		t.Cleanup(s.Close)
		w.urls[i] = s.URL
	}
	for _, name := range w.names {
		w.hall[name] = make(chan net.Conn)
	}
	for _, name := range w.names {
		w.edges = append(w.edges, w.start(name))
	}
	return w
}

// rules returns the rules whose only origin is the ith.
func (w *rollingWorld) rules(i int) string {
	return fmt.Sprintf("behaviors: [{path: '*', origin: o}]\norigins: {o: {url: '%s'}}\n", w.urls[i])
}

// start makes an edge, with a file that has the current rules.
func (w *rollingWorld) start(name string) *rollingEdge {
	w.t.Helper()
	dir := w.t.TempDir()
	for file, text := range map[string]string{
		"openapi.yaml":  "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {}\n",
		"meridian.yaml": strings.Replace(reloadBase, "name: n", "name: "+name, 1) + w.rules(0),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "pki"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	f, err := config.Load(filepath.Join(dir, "meridian.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	self, _ := f.Node(name)
	e := &rollingEdge{node: &node{file: f, self: self, log: slog.New(slog.DiscardHandler)}, end: &ledgerEnd{memoryLedger: w.shared}}
	rules, err := rulesOf(f)
	if err != nil {
		w.t.Fatal(err)
	}
	m := &topology.Map{}
	m.Publish(&topology.Snapshot{})
	e.door, err = edge.New(edge.Config{Place: "us-east-1", Node: name, Domain: f.Domain, HTTPS: "127.0.0.1:0", Behaviors: rules.Behaviors, Origins: rules.Origins}, edge.Deps{
		Map: m, Certs: cert.New(cert.Config{}), Dial: func(context.Context, meridian.Region) (net.Conn, error) { return nil, errors.New("there is no region") },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	e.takes("edge", edgeRules, func(f *config.File) (func(), error) {
		rules, err := rulesOf(f)
		if err != nil {
			return nil, err
		}
		return e.door.Prepare(rules)
	})
	others := func() (out []string) {
		for _, o := range w.names {
			if o != name {
				out = append(out, o)
			}
		}
		return out
	}
	h := w.hall.hearsay(name, nil)
	open := h.open
	h.edges, h.open = others, func(ctx context.Context, node string) (net.Conn, error) {
		if deaf := w.deaf.Load(); deaf == node || deaf == name {
			return nil, errCut
		}
		return open(ctx, node)
	}
	e.jury = &jury{
		rollouts: newRollouts(name, e.end, e.door, e.withRules, e.inForceNow, e.node.log),
		others:   h, alive: func() []string { return w.names }, kick: make(chan struct{}, 1), heard: map[string]heardReport{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	ready := make(chan struct{})
	done.Go(func() { e.jury.rollouts.follow(ctx, func() { close(ready) }) })
	<-ready // as a node does: no request comes before
	done.Go(func() { e.jury.run(ctx, func() {}) })
	e.stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	w.t.Cleanup(e.stop)
	return e
}

// begin starts a rollout of the new rules, as an operator's node does.
func (w *rollingWorld) begin(in client.RolloutStart) string {
	w.t.Helper()
	if in.Rules == "" {
		in.Rules = w.rules(1)
	}
	in.MinRequests, in.MaxErrors, in.MaxRefused = 20, 1, 5
	rec, err := recordOf(in, time.Now().UTC())
	if err != nil {
		w.t.Fatal(err)
	}
	end := &ledgerEnd{memoryLedger: w.shared}
	if ok, err := end.CompareAndSwap(w.t.Context(), rulesPrefix+rec.Plan.Version, 0, []byte(in.Rules)); !ok {
		w.t.Fatal(err)
	}
	if _, err := changeRollout(w.t.Context(), end, begun(rec)); err != nil {
		w.t.Fatal(err)
	}
	w.until("staged everywhere", func() bool { return w.serving() == len(w.edges) })
	return rec.Plan.Version
}

func (w *rollingWorld) record() rollout.Record {
	rec, _, err := recordIn((&ledgerEnd{memoryLedger: w.shared}).View())
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// serving counts the edges that have a second version.
func (w *rollingWorld) serving() (n int) {
	for _, e := range w.edges {
		if v, _ := e.door.Rollout(); v != "" {
			n++
		}
	}
	return n
}

// ask sends requests of ever new clients to all edges. One that the current
// version answers otherwise than ever is noted, unless its origin is down.
func (w *rollingWorld) ask(n int) {
	for range n {
		for _, e := range w.edges {
			r := httptest.NewRequest("GET", "https://api.example.test/x", nil)
			c := w.clients.Add(1)
			r.RemoteAddr = fmt.Sprintf("198.18.%d.%d:1", c/256%256, c%256)
			got := httptest.NewRecorder()
			e.door.ServeHTTP(got, r)
			if staged := strings.HasSuffix(got.Header().Get("X-Meridian-Rollout"), "staged"); !staged && !w.bad[0].Load() && (got.Code != 200 || got.Body.String() == "") {
				w.wrong.Add(1)
			}
		}
	}
}

// until asks until something is so.
func (w *rollingWorld) until(what string, ok func() bool) {
	w.t.Helper()
	for begin := time.Now(); !ok(); {
		if time.Since(begin) > 20*time.Second {
			rec := w.record()
			w.t.Fatalf("not %s: %s, %v %%, %s; the first edge waits: %s", what, rec.Phase, rec.Plan.Percent, rec.Why, w.edges[0].waitsFor())
		}
		w.ask(1)
	}
}

// stays asks for some time, and fails if the version goes meanwhile.
func (w *rollingWorld) stays(what string, percent float64) {
	w.t.Helper()
	for begin := time.Now(); time.Since(begin) < 6*rolloutEvery || w.edges[0].report().Arms.Staged.Total.Requests < 100; {
		w.ask(1)
	}
	if rec := w.record(); rec.Phase != rollout.Staged || rec.Plan.Percent != percent || w.serving() != len(w.edges) {
		w.t.Errorf("%s: %s at %v %%, at %d edges: %s", what, rec.Phase, rec.Plan.Percent, w.serving(), rec.Why)
	}
}

// finish ends a rollout as an operator does.
func (w *rollingWorld) finish(phase rollout.Phase) {
	w.t.Helper()
	if _, err := changeRollout(w.t.Context(), w.edges[0].end, func(now rollout.Record) (rollout.Record, error) {
		now.Phase, now.Why = phase, "the test says so"
		return now, nil
	}); err != nil {
		w.t.Fatal(err)
	}
	w.until("gone", func() bool { return w.serving() == 0 })
}

func (w *rollingWorld) body(e *rollingEdge) string {
	got := httptest.NewRecorder()
	e.door.ServeHTTP(got, httptest.NewRequest("GET", "https://api.example.test/x", nil))
	return got.Body.String()
}
