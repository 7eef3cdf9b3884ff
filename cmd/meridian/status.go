package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"meridian/client"
	"meridian/config"
	"meridian/world"
)

type statusCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *statusCmd) Run(ctx context.Context, g *Global) error {
	s, r, err := fetchStatus(ctx, g)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	}
	return printStatus(os.Stdout, s, r)
}

// fetchStatus returns what the admin API says, and beside it what only the
// supervisor of an up world knows.
func fetchStatus(ctx context.Context, g *Global) (client.Status, world.Record, error) {
	a, r, err := admin(g)
	if err != nil {
		return client.Status{}, r, err
	}
	s, err := a.Status(ctx)
	if g.Admin != "" {
		return s, r, err
	}
	if err != nil {
		if procs, perr := world.Connect(r).Processes(ctx); perr != nil {
			err = perr
		} else {
			err = fmt.Errorf("%w; node %s is %s", err, world.ControlNode, procs[0].State)
		}
		return s, r, err
	}
	s.Block, s.CA = r.Block, r.CA
	if procs, err := world.Connect(r).Processes(ctx); err == nil {
		byNode := map[string]world.Process{}
		for _, p := range procs {
			byNode[p.Node] = p
		}
		for i, n := range s.Nodes {
			s.Nodes[i].State, s.Nodes[i].PID = byNode[n.Name].State, byNode[n.Name].PID
		}
	}
	if os.Getuid() != 0 {
		s.Notes = append(s.Notes, "not root: PostgreSQL and the functions run as you, not each as a user of its own")
	}
	return s, r, nil
}

// wholeWait bounds how long the start of a world waits for its own map to show
// what every node has reported already.
const wholeWait = 10 * time.Second

// whole waits until the status shows every region and edge as healthy, and how
// far behind every standby is.
func whole(ctx context.Context, g *Global) error {
	ctx, cancel := context.WithTimeout(ctx, wholeWait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s, _, err := fetchStatus(ctx, g)
		if missing := incomplete(s); err == nil && missing != "" {
			err = fmt.Errorf("%s yet; `meridian status` says why", missing)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// incomplete says what a world that has just started lacks, or is "".
func incomplete(s client.Status) string {
	for _, r := range s.Regions {
		if !r.Healthy {
			return r.Name + " is not healthy"
		}
		if r.Postgres != "" && !r.Primary && r.ReplayLag < 0 {
			return "the lag of " + r.Name + " is not known"
		}
	}
	for _, e := range s.Edges {
		if !e.Healthy {
			return "the edge of " + e.Name + " is not healthy"
		}
	}
	return ""
}

func printStatus(out io.Writer, s client.Status, r world.Record) error {
	if err := printRegions(out, s.Regions); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := printEdges(out, s.Edges); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s   dns %s   console %s\n", s.Domain, strings.Join(s.DNS, " "), s.Console)
	if r.State != "" {
		fmt.Fprintf(out, "state %s   ca %s\n", r.State, s.CA)
	}
	if b := s.Backup; b != nil {
		fmt.Fprintf(out, "backups to %s   newest %s   log kept up to %s\n", b.To, moment(b.Newest), moment(b.Archived))
	}
	if s.Rollout != nil {
		if err := printStaged(out, *s.Rollout); err != nil {
			return err
		}
	}
	for _, n := range s.Notes {
		fmt.Fprintln(out, "note:", n)
	}
	return nil
}

func printRegions(out io.Writer, regions []client.Region) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "REGION\tHEALTH\tROLE\tLAG\tGATEWAY\tWHY")
	for _, x := range regions {
		role, late := "standby", lag(x.ReplayLag)
		if x.Primary {
			role, late = "primary", "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", x.Name, or(x.Phase, health(x.Healthy, x.Drained)), role, late, x.Gateway, x.Why)
		for _, y := range x.Standbys {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", y.Node, health(y.Healthy, false), "reads", lag(y.ReplayLag), "-", y.Why)
		}
	}
	return w.Flush()
}

// lag writes milliseconds of replay lag, of which a negative number is none that
// is known.
func lag(ms int64) string {
	if ms < 0 {
		return "unknown"
	}
	return fmt.Sprintf("%d ms", ms)
}

func printEdges(out io.Writer, edges []client.Edge) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "EDGE\tHEALTH\tSERVED BY\tCLIENTS\tHTTPS\tWHY")
	for _, x := range edges {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\thttps://%s\t%s\n", x.Name, health(x.Healthy, false), or(x.Serves, "-"), strings.Join(x.Clients, " "), x.HTTPS, x.Why)
	}
	return w.Flush()
}

// printStaged says how a rollout that is under way does, in all.
func printStaged(out io.Writer, r client.Rollout) error {
	fmt.Fprint(out, "\nrollout ")
	printStanding(out, r)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "\t\tRULES\tREQUESTS\t5XX\t4XX\tMEAN\tP50\tP99")
	printArm(w, "", "", "current", r.All.Current)
	printArm(w, "", "", "staged", r.All.Staged)
	return w.Flush()
}

// moment writes a time for people; the zero one is never.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func health(ok, drained bool) string {
	switch {
	case drained:
		return "drained"
	case ok:
		return "healthy"
	}
	return "DOWN"
}

// showWorld prints the table of endpoints, and requests to paste.
func showWorld(ctx context.Context, g *Global, out io.Writer) error {
	s, r, err := fetchStatus(ctx, g)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := printStatus(out, s, r); err != nil {
		return err
	}
	f, err := config.Load(r.Plan)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nTry:")
	for i, sample := range samples(f.API) {
		fmt.Fprintln(out, "  "+curl(sample, s, s.Edges[i%len(s.Edges)]))
	}
	return nil
}
