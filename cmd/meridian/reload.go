package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"meridian/client"
	"meridian/config"
	"meridian/server"
	"meridian/world"
)

type reloadCmd struct {
	File string `arg:"" optional:"" help:"The up world's file, as it is now. In production each node has its own." placeholder:"FILE"`
	JSON bool   `help:"Print JSON."`
}

func (c *reloadCmd) Run(ctx context.Context, g *Global) error {
	a, r, err := admin(g)
	if err != nil {
		return err
	}
	undo := func() error { return nil }
	switch up := g.Admin == ""; {
	case up && c.File == "":
		return mistake{errors.New("reload: expected FILE, the up world's file")}
	case up:
		if undo, err = planned(r, c.File); err != nil {
			return err
		}
	case c.File != "":
		return mistake{errors.New("reload: FILE is for an up world: expected none, each node of a production world reads its own")}
	}
	done, err := a.Reload(ctx)
	if err != nil {
		return errors.Join(err, undo())
	}
	if c.JSON {
		err = json.NewEncoder(os.Stdout).Encode(done)
	} else {
		err = printReloaded(os.Stdout, done)
	}
	if refused := refusals(done); refused != nil {
		err = errors.Join(refused, undo())
		a.Reload(ctx) // those that took it go back
	}
	return err
}

// planned puts what nodes take of a new file into the up world's plan, and
// returns what undoes that.
func planned(r world.Record, path string) (undo func() error, err error) {
	f, err := load(path)
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(r.Plan)
	if err != nil {
		return nil, err
	}
	plan, err := config.Load(r.Plan)
	if err != nil {
		return nil, err
	}
	if left := slices.DeleteFunc(config.Changed(plan, f), func(key string) bool {
		return slices.Contains(server.Live(), key) || slices.Contains(derived, key)
	}); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "%s takes effect with the next meridian up\n", strings.Join(left, ", "))
	}
	config.Take(plan, f, server.Live())
	b, err := config.Marshal(plan)
	if err != nil {
		return nil, err
	}
	return func() error { return replace(r.Plan, old) }, replace(r.Plan, b)
}

// derived are the keys that a plan has its own values of.
var derived = []string{"nodes", "pki", "clients", "certificates", "functions", "secrets", "database", "edges"}

func replace(path string, b []byte) error {
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func printReloaded(out io.Writer, done []client.Reloaded) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NODE\tSTATE\tCHANGED\tNEEDS A RESTART\tTOOK")
	list := func(keys []string) string {
		if len(keys) == 0 {
			return "-"
		}
		return strings.Join(keys, " ")
	}
	for _, d := range done {
		if d.Why != "" {
			fmt.Fprintf(w, "%s\trefused\t-\t-\t-\n", d.Node)
			continue
		}
		fmt.Fprintf(w, "%s\ttaken\t%s\t%s\t%v\n", d.Node, list(d.Changed), list(d.Restart), d.Took.Round(100*time.Microsecond))
	}
	return w.Flush()
}

// refusals says which nodes did not take the file, and why; those with the same
// reason together.
func refusals(done []client.Reloaded) error {
	by, order := map[string][]string{}, []string{}
	for _, d := range done {
		if d.Why == "" {
			continue
		}
		if by[d.Why] == nil {
			order = append(order, d.Why)
		}
		by[d.Why] = append(by[d.Why], d.Node)
	}
	var errs []error
	for _, why := range order {
		errs = append(errs, fmt.Errorf("not taken by %s, where the old file holds:\n%s", strings.Join(by[why], ", "), why))
	}
	return errors.Join(errs...)
}
