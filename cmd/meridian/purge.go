package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"meridian"
	"meridian/client"
)

type purgeCmd struct {
	Items      []string `arg:"" optional:"" placeholder:"PATH | 'PREFIX*' | '#TAG'" help:"A path with all its queries and variants; a prefix with a * at its end; a tag."`
	Everything bool     `help:"All that is cached, in place of items."`
	Soft       bool     `help:"Make it stale, and do not remove it: it may be served while its origin is asked again, or fails."`
	Host       string   `help:"Of this host alone. Default: every host." placeholder:"HOST"`
	Wait       patience `help:"Wait for edges that do not answer (10s, or --wait=DURATION)." placeholder:"DURATION"`
	ID         string   `help:"Name the purge: asked again with the same ID it is done once." placeholder:"ID"`
	JSON       bool     `help:"Print JSON."`
	Yes        bool     `help:"Do not ask (for --everything)." short:"y"`
}

func (c *purgeCmd) Run(ctx context.Context, g *Global) error {
	if c.Everything {
		if err := confirm(c.Yes || c.Soft, "remove all that the edges have cached: every request goes to its origin for a while"); err != nil {
			return err
		}
	}
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	done, err := a.Purge(ctx, client.Purge{ID: c.ID, Items: c.Items, Host: c.Host, Everything: c.Everything, Soft: c.Soft, Wait: time.Duration(c.Wait)})
	if meridian.KindOf(err) == meridian.Invalid {
		return mistake{err}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(os.Stdout).Encode(done)
	} else {
		err = printPurged(os.Stdout, done)
	}
	return errors.Join(err, notEverywhere(done))
}

func printPurged(out io.Writer, p client.Purged) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "EDGE\tSTATE\tOBJECTS\tTOOK\tWHY")
	for _, e := range p.Edges {
		state, objects := "done", fmt.Sprint(e.Objects)
		if !e.Done {
			state, objects = "pending", "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%v\t%s\n", e.Edge, state, objects, e.Took.Round(100*time.Microsecond), e.Why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if p.Everywhere {
		fmt.Fprintf(out, "\npurged everywhere in %v; id %s\n", p.Took.Round(100*time.Microsecond), p.ID)
	}
	return nil
}

// notEverywhere says what an edge that is not done does meanwhile.
func notEverywhere(p client.Purged) error {
	if p.Everywhere {
		return nil
	}
	var pending []string
	for _, e := range p.Edges {
		if !e.Done {
			pending = append(pending, e.Edge)
		}
	}
	who := strings.Join(pending, ", ")
	if !p.Kept {
		return fmt.Errorf("not purged at %s, and the store's log does not have it yet: ask again with --id %s", who, p.ID)
	}
	return fmt.Errorf("not purged at %s yet: an edge does it as soon as it sees the store's log, and until then serves nothing as fresh that an origin confirmed more than 10 s ago; id %s", who, p.ID)
}
