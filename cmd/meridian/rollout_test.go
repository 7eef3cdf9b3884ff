package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	adminapi "meridian/admin"
	"meridian/client"
	"meridian/world"
)

// An authority takes what is asked for, and keeps it.
type authority struct {
	started client.RolloutStart
	asked   []string
}

func (a *authority) now() client.Rollout {
	r := client.Rollout{
		Version: "r1", Phase: "staged", Percent: 5, By: "client", Header: "X-Stage", Why: "1 % held for 1m0s", Who: "eu-west-1/edge", Waits: "too few to judge by",
		Rules: "behaviors: [{path: /x}]\n", Changed: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC),
	}
	r.All.Current = client.RolloutArm{Requests: 900, Errors: 9, Mean: 3 * time.Millisecond, P50: 2 * time.Millisecond, P99: 32 * time.Millisecond}
	r.All.Staged = client.RolloutArm{Requests: 100, Errors: 50, Refused: 1, P99: 4 * time.Second}
	return r
}

func (a *authority) did(what string) (client.Rollout, error) {
	a.asked = append(a.asked, what)
	return a.now(), nil
}

func (a *authority) Status(context.Context) (client.Rollout, error) { return a.did("status") }
func (a *authority) Start(_ context.Context, s client.RolloutStart) (client.Rollout, error) {
	a.started = s
	return a.did("start")
}
func (a *authority) Percent(context.Context, float64) (client.Rollout, error) {
	return a.did("percent")
}
func (a *authority) Promote(context.Context) (client.Rollout, error) { return a.did("promote") }
func (a *authority) Abort(context.Context) (client.Rollout, error)   { return a.did("abort") }

// TestARolloutInProductionGoesToTheNodeThatIsNamed runs the commands as in
// production, where there is no world on this machine. Control: without the token
// nothing is done.
func TestARolloutInProductionGoesToTheNodeThatIsNamed(t *testing.T) {
	dir := t.TempDir()
	token, file := filepath.Join(dir, "token"), filepath.Join(dir, "new.yaml")
	rules := "behaviors: [{path: /assets/*, origin: assets}]\norigins: {assets: {url: 'https://assets.example.test', ca: certs/ca.pem}}\n"
	for name, text := range map[string]string{token: "secret\n", file: worldFile + "functions: {hello: {binary: ./hello}}\n" + rules} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &authority{}
	s := httptest.NewServer(adminapi.New(adminapi.Config{Token: "secret"}, adminapi.Deps{Rollout: a, Log: slog.New(slog.DiscardHandler)}).Handler())
	defer s.Close()
	at := []string{"--admin", s.URL, "--token", token}
	for _, args := range [][]string{
		{"rollout", "start", file, "--header", "X-Stage=new", "--max-latency-ratio", "2", "--max-errors-alone", "20"},
		{"rollout", "status"}, {"rollout", "percent", "10%"}, {"rollout", "promote"}, {"rollout", "abort"},
	} {
		if code, text := said(t, append(at, args...)...); code != 0 {
			t.Errorf("%s: exit %d: %s", args, code, text)
		}
	}
	if got := strings.Join(a.asked, " "); got != "start status percent promote abort" {
		t.Errorf("asked: %s", got)
	}
	if g := a.started; g.Header != "X-Stage" || g.Value != "new" || g.Percent != 0 || g.MaxLatencyRatio != 2 || g.MaxErrorsAlone != 20 || g.MaxErrors != 1 {
		t.Errorf("started: %+v", g)
	}
	if g := a.started.Rules; !strings.Contains(g, "/assets/*") || strings.Contains(g, dir) || strings.Contains(g, "domain") {
		t.Errorf("each node reads paths from where its own file is, and nothing but rules: %s", g)
	}
	if err := os.WriteFile(token, []byte("guess"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := said(t, append(at, "rollout", "abort")...); code == 0 || len(a.asked) != 5 {
		t.Errorf("without the token: exit %d, %s", code, text)
	}
}

func TestStatusShowsTheRolloutThatIsUnderWay(t *testing.T) {
	var out bytes.Buffer
	r := (&authority{}).now()
	for _, shown := range []*client.Rollout{nil, &r} {
		out.Reset()
		if err := printStatus(&out, client.Status{Domain: "api.example.test", Rollout: shown}, world.Record{}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"rollout r1 is staged: 5 % of clients, and those with X-Stage", "why: 1 % held for 1m0s (eu-west-1/edge, 2026-11-26 12:00:00)", "now: too few to judge by",
			"current   900        9 (1.0 %)", "staged    100        50 (50.0 %)   1 (1.0 %)",
		} {
			if got := strings.Contains(out.String(), want); got != (shown != nil) {
				t.Errorf("%q: %v in\n%s", want, got, out.String())
			}
		}
	}
}
