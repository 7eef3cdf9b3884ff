package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/server"
	"meridian/world"
)

type regionCmd struct {
	Add    regionAddCmd    `cmd:"" help:"Let region NAME of FILE join the running world."`
	Remove regionRemoveCmd `cmd:"" help:"Take region NAME out of the running world."`
}

type regionAddCmd struct {
	Name string `arg:"" help:"The region that joins." placeholder:"NAME"`
	File string `arg:"" help:"The world's file with that region in it, and nothing else changed." placeholder:"FILE"`
}

func (c *regionAddCmd) Run(ctx context.Context, g *Global) error {
	f, err := load(c.File)
	if err != nil {
		return err
	}
	a, r, err := admin(g)
	if err != nil {
		return err
	}
	name := meridian.Region(c.Name)
	asked := *f
	if r.State != "" {
		if err := server.Able(f); err != nil {
			return err
		}
		plan, err := config.Load(r.Plan)
		if err != nil {
			return err
		}
		if asked, err = world.Grow(*plan, *f, name); err != nil {
			return err
		}
	}
	join, err := server.Joining(&asked, name)
	if err != nil {
		return err
	}
	begin := time.Now()
	roster, err := a.Join(ctx, join)
	if err != nil {
		return err
	}
	if r.State != "" {
		if err := world.Connect(r).Become(ctx, roster); err != nil {
			return err
		}
	} else {
		fmt.Printf("%s is expected: start its node on its machine, with this file\n", name)
	}
	if err := awaitRegion(ctx, a, c.Name, func(x client.Region, there bool) bool { return there && x.Phase == "" && x.Healthy }); err != nil {
		return fmt.Errorf("%s goes on joining: %w", name, err)
	}
	fmt.Printf("%s counts after %v; keep %s for the next start\n", name, time.Since(begin).Round(100*time.Millisecond), c.File)
	return nil
}

type regionRemoveCmd struct {
	Name string `arg:"" help:"The region that leaves." placeholder:"NAME"`
	Yes  bool   `help:"Do not ask." short:"y"`
}

func (c *regionRemoveCmd) Run(ctx context.Context, g *Global) error {
	if err := confirm(c.Yes, "take "+c.Name+" out of the world: its nodes end, and nothing counts on it any more"); err != nil {
		return err
	}
	a, r, err := admin(g)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := a.Leave(ctx, meridian.Region(c.Name)); err != nil {
		return err
	}
	if err := awaitRegion(ctx, a, c.Name, func(x client.Region, there bool) bool { return !there || x.Phase == "" && x.Primary }); err != nil {
		return fmt.Errorf("%s goes on leaving: %w", c.Name, err)
	}
	s, err := a.Status(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(s.Regions, func(x client.Region) bool { return x.Name == c.Name }) {
		return fmt.Errorf("%s became the primary while it left, and stays", c.Name)
	}
	if r.State != "" {
		roster, err := a.Roster(ctx)
		if err == nil {
			err = world.Connect(r).Become(ctx, roster)
		}
		if err != nil {
			return err
		}
	}
	fmt.Printf("%s is gone after %v; take it out of the file, too\n", c.Name, time.Since(begin).Round(100*time.Millisecond))
	return nil
}

// awaitRegion asks for the status until a region is as it should be, and says
// what it waits for whenever that changes.
func awaitRegion(ctx context.Context, a *client.Client, name string, is func(x client.Region, there bool) bool) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	said := ""
	for {
		s, err := a.Status(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			i := slices.IndexFunc(s.Regions, func(x client.Region) bool { return x.Name == name })
			var x client.Region
			if i >= 0 {
				x = s.Regions[i]
			}
			if is(x, i >= 0) {
				return nil
			}
			if x.Phase != said && x.Phase != "" {
				fmt.Printf("%s is %s\n", name, x.Phase)
				said = x.Phase
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
