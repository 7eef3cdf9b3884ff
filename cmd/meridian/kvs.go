package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"

	"meridian"
	"meridian/client"
)

type kvsCmd struct {
	List   kvsListCmd   `cmd:"" help:"List the keys of a store."`
	Get    kvsGetCmd    `cmd:"" help:"Print a key's value."`
	Put    kvsPutCmd    `cmd:"" help:"Set a key, at every edge."`
	Delete kvsDeleteCmd `cmd:"" help:"Remove a key, at every edge."`
}

type kvsListCmd struct {
	Name string `arg:"" placeholder:"NAME"`
	JSON bool   `help:"Print JSON."`
}

func (c *kvsListCmd) Run(ctx context.Context, g *Global) error {
	pairs, err := pairsOf(ctx, g, c.Name)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(pairs)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "KEY\tETAG\tVALUE")
	for _, p := range pairs {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Key, p.ETag, p.Value)
	}
	return w.Flush()
}

type kvsGetCmd struct {
	Name string `arg:"" placeholder:"NAME"`
	Key  string `arg:"" placeholder:"KEY"`
	JSON bool   `help:"Print JSON: key, value, etag."`
}

func (c *kvsGetCmd) Run(ctx context.Context, g *Global) error {
	pairs, err := pairsOf(ctx, g, c.Name)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(pairs, func(p client.Pair) bool { return p.Key == c.Key })
	switch {
	case i < 0:
		return fmt.Errorf("%s has no key %q; `meridian kvs list %s` shows them", c.Name, c.Key, c.Name)
	case c.JSON:
		return json.NewEncoder(os.Stdout).Encode(pairs[i])
	}
	fmt.Println(pairs[i].Value)
	return nil
}

func pairsOf(ctx context.Context, g *Global, store string) ([]client.Pair, error) {
	a, _, err := admin(g)
	if err != nil {
		return nil, err
	}
	return a.Pairs(ctx, store)
}

type kvsPutCmd struct {
	Name    string `arg:"" placeholder:"NAME"`
	Key     string `arg:"" placeholder:"KEY"`
	Value   string `arg:"" placeholder:"VALUE"`
	IfMatch string `help:"Only if the key still has this ETag; none: only if it is not there." placeholder:"ETAG"`
	JSON    bool   `help:"Print JSON: key, value, etag."`
}

func (c *kvsPutCmd) Run(ctx context.Context, a *client.Client) error {
	p, err := a.PutPair(ctx, c.Name, client.Pair{Key: c.Key, Value: c.Value, ETag: c.IfMatch})
	if meridian.KindOf(err) == meridian.Invalid {
		return mistake{err}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(p)
	}
	fmt.Printf("%s of %s is put; etag %s\n", p.Key, c.Name, p.ETag)
	return nil
}

type kvsDeleteCmd struct {
	Name    string `arg:"" placeholder:"NAME"`
	Key     string `arg:"" placeholder:"KEY"`
	IfMatch string `help:"Only if the key still has this ETag." placeholder:"ETAG"`
}

func (c *kvsDeleteCmd) Run(ctx context.Context, a *client.Client) error {
	if err := a.DeletePair(ctx, c.Name, client.Pair{Key: c.Key, ETag: c.IfMatch}); err != nil {
		return err
	}
	fmt.Printf("%s of %s is deleted\n", c.Key, c.Name)
	return nil
}
