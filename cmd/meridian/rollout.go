package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/server"
	"meridian/world"
)

type rolloutCmd struct {
	Start   rolloutStartCmd   `cmd:"" help:"Give the edge rules of FILE to some requests, beside the current ones."`
	Status  rolloutStatusCmd  `cmd:"" help:"Show both rules beside each other, at each edge and in all, and why the rollout stands where it does."`
	Percent rolloutPercentCmd `cmd:"" help:"Change the percentage; steps end with it."`
	Promote rolloutPromoteCmd `cmd:"" help:"Give the new rules to everybody."`
	Abort   rolloutAbortCmd   `cmd:"" help:"Give the current rules to everybody."`
}

type rolloutStartCmd struct {
	File            string        `arg:"" help:"What edges take while they run is read of it; see meridian reload." placeholder:"FILE"`
	Percent         percent       `help:"Of clients; 5% if neither a header nor steps are given." placeholder:"PERCENT"`
	Header          string        `help:"Requests with this header have the new rules, whatever the percentage." placeholder:"NAME=VALUE"`
	By              string        `help:"Draw for each client (its credential, else its network), or for each request." enum:"client,request" default:"client"`
	Sticky          time.Duration `help:"Set a cookie by which a client keeps what was drawn, for so long after its last request (1s to 1h)." placeholder:"DURATION"`
	Steps           []percent     `help:"Go on by itself, from step to step, and promote after 100%." placeholder:"1%,10%,50%,100%"`
	Hold            time.Duration `help:"How long each step holds at least." default:"60s" placeholder:"DURATION"`
	MaxErrors       gate          `help:"Roll back when the new rules' rate of 5xx is surely more percentage points above the current ones'; off rolls nothing back." default:"1" placeholder:"POINTS|off"`
	MaxRefused      percent       `help:"The same for 4xx." default:"5" placeholder:"POINTS"`
	MinRequests     int64         `help:"Judge only after so many requests of the new rules." default:"20" placeholder:"N"`
	MaxErrorsAlone  percent       `help:"Roll back when surely more of the new rules' requests are answered 5xx while too few have the current ones to compare with; 0 rolls nothing back for that." default:"10" placeholder:"PERCENT"`
	MaxLatencyRatio float64       `help:"Roll back when surely 1 % more of the new rules' requests than of the current ones' take longer than so many times the current ones' 99th percentile; 0 judges no times." default:"0" placeholder:"RATIO"`
	JSON            bool          `help:"Print JSON."`
}

// A percent is a flag such as 5 or 5%.
type percent float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *percent) UnmarshalText(b []byte) error {
	f, err := strconv.ParseFloat(strings.TrimSuffix(string(b), "%"), 64)
	if err != nil || f < 0 || f > 100 {
		return fmt.Errorf("%q: expected a percentage such as 5%%, from 0 to 100", b)
	}
	*p = percent(f)
	return nil
}

// A gate is percentage points, or off.
type gate struct {
	points percent
	off    bool
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (g *gate) UnmarshalText(b []byte) error {
	if *g = (gate{off: string(b) == "off"}); g.off {
		return nil
	}
	return g.points.UnmarshalText(b)
}

func (c *rolloutStartCmd) Run(ctx context.Context, g *Global) error {
	s := client.RolloutStart{
		Percent: float64(c.Percent), By: c.By, Sticky: c.Sticky, NoGate: c.MaxErrors.off,
		MaxErrors: float64(c.MaxErrors.points), MaxRefused: float64(c.MaxRefused), MinRequests: c.MinRequests,
		MaxErrorsAlone: float64(c.MaxErrorsAlone), MaxLatencyRatio: c.MaxLatencyRatio,
	}
	for _, p := range c.Steps {
		s.Steps = append(s.Steps, float64(p))
	}
	if s.Steps != nil {
		s.Hold = c.Hold
	}
	var ok bool
	if s.Header, s.Value, ok = strings.Cut(c.Header, "="); c.Header != "" && !ok {
		return mistake{fmt.Errorf("rollout: --header %s: expected NAME=VALUE", c.Header)}
	}
	if s.Percent == 0 && s.Header == "" && s.Steps == nil {
		s.Percent = 5
	}
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	if s.File, err = filepath.Abs(c.File); err != nil {
		return err
	}
	if s.Rules, err = rulesOf(c.File, g.Admin == ""); err != nil {
		return err
	}
	out, err := a.StartRollout(ctx, s)
	return shown(out, err, c.JSON)
}

// rulesOf returns what edges take of a file while they run. In an up world its
// paths are made absolute; in production they begin where each node's own file
// is.
func rulesOf(path string, up bool) (string, error) {
	var f *config.File
	var err error
	if up {
		f, err = load(path)
	} else {
		var b []byte
		if b, err = os.ReadFile(path); err == nil {
			f, err = config.ParseElsewhere(path, b)
		}
	}
	if err != nil {
		return "", err
	}
	b, err := config.MarshalKeys(f, func(key string) bool { return slices.Contains(server.Live(), key) })
	return string(b), err
}

type rolloutStatusCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *rolloutStatusCmd) Run(ctx context.Context, a *client.Client) error {
	out, err := a.Rollout(ctx)
	return shown(out, err, c.JSON)
}

type rolloutPercentCmd struct {
	Percent percent `arg:"" placeholder:"PERCENT"`
	JSON    bool    `help:"Print JSON."`
}

func (c *rolloutPercentCmd) Run(ctx context.Context, a *client.Client) error {
	out, err := a.SetRolloutPercent(ctx, float64(c.Percent))
	return shown(out, err, c.JSON)
}

type rolloutAbortCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *rolloutAbortCmd) Run(ctx context.Context, a *client.Client) error {
	out, err := a.AbortRollout(ctx)
	return shown(out, err, c.JSON)
}

type rolloutPromoteCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *rolloutPromoteCmd) Run(ctx context.Context, g *Global) error {
	a, r, err := admin(g)
	if err != nil {
		return err
	}
	out, err := a.PromoteRollout(ctx)
	if err == nil && g.Admin == "" {
		out, err = intoPlan(ctx, a, r, out)
	}
	return shown(out, err, c.JSON)
}

// intoPlan puts promoted rules into the up world's plan, which nodes that start
// again read, and has all nodes take it.
func intoPlan(ctx context.Context, a *client.Client, r world.Record, out client.Rollout) (client.Rollout, error) {
	plan, err := config.Load(r.Plan)
	if err != nil {
		return out, err
	}
	b, err := config.MarshalKeys(plan, func(key string) bool { return !slices.Contains(server.Live(), key) })
	if err != nil {
		return out, err
	}
	if err := replace(r.Plan, append(b, out.Rules...)); err != nil {
		return out, err
	}
	done, err := a.Reload(ctx)
	if err := errors.Join(err, refusals(done)); err != nil {
		return out, err
	}
	return finished(ctx, a)
}

// finished returns the rollout once the edges have seen that their files have
// it, or some time later.
func finished(ctx context.Context, a *client.Client) (out client.Rollout, err error) {
	for range 20 {
		if out, err = a.Rollout(ctx); err != nil || out.Phase != "promoted" {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return out, nil
}

// shown prints a rollout, or returns why there is none to print.
func shown(out client.Rollout, err error, asJSON bool) error {
	switch {
	case meridian.KindOf(err) == meridian.Invalid:
		return mistake{err}
	case err != nil:
		return err
	case asJSON:
		return json.NewEncoder(os.Stdout).Encode(out)
	}
	return printRollout(os.Stdout, out)
}

func printRollout(out io.Writer, r client.Rollout) error {
	if r.Version == "" {
		_, err := fmt.Fprintln(out, "there was no rollout yet; `meridian rollout start FILE` begins one")
		return err
	}
	printStanding(out, r)
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "EDGE\tSTATE\tRULES\tREQUESTS\t5XX\t4XX\tMEAN\tP50\tP99")
	for _, e := range r.Edges {
		printArm(w, e.Edge, e.State, "current", e.Current)
		printArm(w, "", "", "staged", e.Staged)
	}
	printArm(w, "all", "", "current", r.All.Current)
	printArm(w, "", "", "staged", r.All.Staged)
	if err := w.Flush(); err != nil {
		return err
	}
	for _, e := range r.Edges {
		if e.Why != "" {
			fmt.Fprintf(out, "\n%s: %s\n", e.Edge, e.Why)
		}
	}
	return nil
}

func printArm(w io.Writer, edge, state, name string, a client.RolloutArm) {
	fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%v\t%s\t%s\n", edge, state, name, a.Requests, part(a.Errors, a.Requests), part(a.Refused, a.Requests), a.Mean.Round(10*time.Microsecond), most(a.P50), most(a.P99))
}

// printStanding says where a rollout stands, who decided so, and what it waits for.
func printStanding(out io.Writer, r client.Rollout) {
	fmt.Fprintf(out, "%s is %s", r.Version, r.Phase)
	if r.Phase == "staged" {
		fmt.Fprintf(out, ": %v %% of %ss", r.Percent, r.By)
		if r.Header != "" {
			fmt.Fprintf(out, ", and those with %s", r.Header)
		}
		if r.Sticky > 0 {
			fmt.Fprintf(out, ", sticky for %v", r.Sticky)
		}
	}
	fmt.Fprintf(out, "\nwhy: %s (%s, %s)\n", r.Why, r.Who, r.Changed.Format(time.DateTime))
	if r.Waits != "" {
		fmt.Fprintf(out, "now: %s\n", r.Waits)
	}
}

func part(n, of int64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%d (%.1f %%)", n, float64(n)*100/float64(of))
}

func most(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return "<" + d.String()
}
