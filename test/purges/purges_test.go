package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/client"
	"meridian/test/harness"
	"meridian/test/operator"
)

// settled is when an edge that hears nothing takes nothing for fresh any more
// that was purged: purge.Bound, and a second for a busy machine.
const settled = 11 * time.Second

// TestPurgesAndTheShield is one world with five edges and a shield, and what is
// promised of them.
func TestPurgesAndTheShield(t *testing.T) {
	w, end, err := operator.Up(context.WithoutCancel(t.Context()), harness.Binary(t), filepath.Join("testdata", "world.yaml"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	d, err := open(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	p := &purges{t, w, d}
	harness.Eventually(t, 30*time.Second, func() error { // a busy machine may have lost a link just now
		_, err := d.everywhere(t.Context(), warm)
		return err
	})
	t.Run("misses at all edges are one request", func(t *testing.T) {
		if err := herd(t.Context(), d, 2000, t.Output()); err != nil {
			t.Error(err)
		}
	})
	t.Run("a purge is everywhere", func(t *testing.T) {
		if _, err := measure(t.Context(), d, 3, 0, t.Output()); err != nil {
			t.Error(err)
		}
	})
	t.Run("what a purge names is what leaves", p.names)
	t.Run("an unsafe request ends it everywhere", p.unsafe)
	t.Run("a wrong item is refused", p.refused)
	t.Run("an edge that is cut", p.cut)
	t.Run("an edge that is paused", p.paused)
	t.Run("without the shield each edge asks", p.unshielded)
}

type purges struct {
	t *testing.T
	w operator.World
	d *doors
}

// all asks all edges for a path.
func (p *purges) all(t *testing.T, path string) map[string]string {
	t.Helper()
	got, err := p.d.everywhere(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// at asks one edge.
func (p *purges) at(t *testing.T, edge, path string) (answer, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return p.d.ask(ctx, p.d.edges[edge], http.MethodGet, path)
}

func (p *purges) names(t *testing.T) {
	paths := []string{"/objects/a1", "/objects/a1?tag=News,other", "/objects/a2", "/objects/b?tag=news"}
	for _, c := range []struct {
		order client.Purge
		gone  []int // of paths
	}{
		{client.Purge{Items: []string{"/objects/a1"}}, []int{0, 1}},
		{client.Purge{Items: []string{"/objects/a*"}}, []int{0, 1, 2}},
		{client.Purge{Items: []string{"#news"}}, []int{1, 3}},
		{client.Purge{Items: []string{"/objects/a2", "#other"}}, []int{1, 2}},
		{client.Purge{Items: []string{"/objects/*"}, Host: "other.example.test"}, nil},
		{client.Purge{Items: []string{"/objects/*"}, Host: p.d.domain}, []int{0, 1, 2, 3}},
		{client.Purge{Items: []string{"/objects/a1"}, Soft: true}, []int{0, 1}},
		{client.Purge{Everything: true}, []int{0, 1, 2, 3}},
	} {
		var before []map[string]string
		for _, path := range paths {
			before = append(before, p.all(t, path))
		}
		done, err := p.d.admin.Purge(t.Context(), c.order)
		if err != nil || !done.Everywhere {
			t.Fatalf("%+v: %+v, %v", c.order, done, err)
		}
		for i, path := range paths {
			for edge, body := range p.all(t, path) {
				if gone := body != before[i][edge]; gone != slices.Contains(c.gone, i) {
					t.Errorf("%+v: %s at %s: gone %v", c.order, path, edge, gone)
				}
			}
		}
	}
	done, err := p.d.admin.Purge(t.Context(), client.Purge{ID: "once", Items: []string{"/objects/a1"}})
	if err != nil || !done.Everywhere {
		t.Fatal(done, err)
	}
	before := p.all(t, paths[0])
	if done, err = p.d.admin.Purge(t.Context(), client.Purge{ID: "once", Items: []string{"/objects/a1"}}); err != nil || !done.Everywhere {
		t.Fatal(done, err)
	}
	for edge, body := range p.all(t, paths[0]) {
		if body != before[edge] {
			t.Errorf("%s was purged twice by one ID", edge)
		}
	}
}

func (p *purges) unsafe(t *testing.T) {
	before := p.all(t, "/objects/written")
	if a, err := p.d.ask(t.Context(), p.d.edges["sa-east-1"], http.MethodPost, "/objects/written"); err != nil || a.status != http.StatusNoContent {
		t.Fatal(a, err)
	}
	harness.Eventually(t, 5*time.Second, func() error {
		for edge, body := range p.all(t, "/objects/written") {
			if body == before[edge] {
				return fmt.Errorf("%s still serves what was there before the write", edge)
			}
		}
		return nil
	})
}

func (p *purges) refused(t *testing.T) {
	_, err := p.w.Run(t.Context(), "purge", "/a?b=c")
	if err == nil || !strings.Contains(err.Error(), "exit status 2") || !strings.Contains(err.Error(), "a path without a query") {
		t.Errorf("%v", err)
	}
}

// pendingAt purges a path by the command line, and wants one edge to be pending.
func (p *purges) pendingAt(t *testing.T, edge, path string) time.Time {
	t.Helper()
	out, err := p.w.Run(t.Context(), "purge", path)
	if err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "not purged at "+edge+" yet") {
		t.Fatalf("%s\n%v: want exit status 1, and that %s is pending", out, err, edge)
	}
	return time.Now()
}

// never watches an edge for a while, and fails if it serves a body as fresh.
func (p *purges) never(t *testing.T, edge, path, body string, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		if a, err := p.at(t, edge, path); err == nil && a.body == body && a.fresh() {
			t.Fatalf("%s serves what was purged as fresh: %s", edge, a.cache)
		}
	}
}

// cut takes every link of an edge away. What it has it serves as before for a
// while, and then no more as fresh. Once it is back it has what it missed.
func (p *purges) cut(t *testing.T) {
	const edge, path, other = "ap-southeast-2", "/objects/cut", "/objects/kept"
	old, kept := p.all(t, path)[edge], p.all(t, other)[edge]
	for _, e := range []string{"us-east-1", "eu-west-1", "ap-southeast-1", "sa-east-1"} {
		p.run(t, "fault", "cut", edge, e)
	}
	defer p.run(t, "fault", "heal")
	asked := p.pendingAt(t, edge, path)
	if a, err := p.at(t, edge, other); err != nil || a.body != kept {
		t.Errorf("cut off, %s does not serve what it has: %v, %v", edge, a, err)
	}
	time.Sleep(time.Until(asked.Add(settled))) // the world's own clock
	if a, err := p.at(t, edge, path); err == nil && a.body == old && a.fresh() {
		t.Errorf("cut off, %s serves what was purged %v ago as fresh: %s", edge, time.Since(asked), a.cache)
	}
	if a, err := p.at(t, edge, other); err != nil || a.body != kept || a.fresh() {
		t.Errorf("cut off, %s answers %v, %v for what it has; want that, and not as fresh (guarantee 5)", edge, a, err)
	}
	p.run(t, "fault", "heal")
	p.never(t, edge, path, old, 2*time.Second)
	harness.Eventually(t, 20*time.Second, func() error {
		a, err := p.at(t, edge, path)
		if err == nil && (a.body == old || !a.fresh()) {
			err = fmt.Errorf("%s: %v", edge, a)
		}
		return err
	})
}

// paused stops an edge while something is purged.
func (p *purges) paused(t *testing.T) {
	const edge, path = "ap-southeast-1", "/objects/paused"
	old := p.all(t, path)[edge]
	p.run(t, "fault", "pause", edge+"/edge")
	defer p.run(t, "fault", "heal")
	asked := p.pendingAt(t, edge, path)
	time.Sleep(time.Until(asked.Add(settled))) // the world's own clock
	p.run(t, "fault", "heal")
	p.never(t, edge, path, old, 2*time.Second)
	harness.Eventually(t, 20*time.Second, func() error {
		a, err := p.at(t, edge, path)
		if err == nil && a.body == old {
			err = fmt.Errorf("%s has the old one", edge)
		}
		return err
	})
}

// unshielded is the control of the first part: it takes the shield's edge away,
// and each of the others asks for itself.
func (p *purges) unshielded(t *testing.T) {
	p.run(t, "fault", "down", "us-east-1/edge")
	defer p.run(t, "fault", "heal")
	before, err := p.d.invocations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for edge := range p.d.edges {
		if edge == "us-east-1" {
			continue
		}
		begin := time.Now()
		if a, err := p.at(t, edge, "/objects/unshielded"); err != nil || a.status != http.StatusOK {
			t.Errorf("%s without its shield: %v, %v", edge, a, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s waited %v for a shield that is gone", edge, took)
		}
	}
	after, err := p.d.invocations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after-before != 4 {
		t.Errorf("%d requests to functions without the shield, want one of each of four edges", after-before)
	}
}

func (p *purges) run(t *testing.T, args ...string) {
	t.Helper()
	if _, err := p.w.Run(context.WithoutCancel(t.Context()), args...); err != nil {
		t.Error(err)
	}
}
