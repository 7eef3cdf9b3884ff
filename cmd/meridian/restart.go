package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"meridian/server"
	"meridian/world"
)

type restartCmd struct {
	Nodes []string `arg:"" optional:"" help:"Of an up world, as in meridian status; none means every node, one after the other." placeholder:"NODE"`
}

// Help is what `meridian restart --help` says below the usage.
func (restartCmd) Help() string {
	return `The next process of a node is started from the same file and binary, which
may have been replaced by another version. It takes over the sockets of the one
that runs, so that nobody who connects is refused; what was begun ends in the old
one. If the next process does not come up, for a mistake in the file or another
reason, the old one goes on, and this command says why and fails.

Of an up world, NODE names the nodes. In production run it on the node's machine,
with --state DIR as meridian serve has it; kill -USR2 does the same.

A node with the role edge or control alone runs in both processes for a moment.
One with the role region, standby or witness, or with limits.cacheDisk, stops
before its next process starts: for about as long as its start takes, who
connects waits, and edges send requests to other regions. PostgreSQL goes on
(in an up world it is started again: move the primary away first), and writes
wait in the other regions for the primary's.`
}

func (c *restartCmd) Run(ctx context.Context, g *Global) error {
	if r, err := world.Read(g.State); err == nil {
		return c.world(ctx, r)
	}
	if len(c.Nodes) > 0 {
		return mistake{fmt.Errorf("restart: %s is no up world; expected no NODE: --state says which node of this machine", g.State)}
	}
	state, err := filepath.Abs(g.State)
	if err != nil {
		return err
	}
	begin := time.Now()
	found, err := server.Restart(ctx, state)
	switch {
	case !found:
		return fmt.Errorf("no node runs on this machine with the state folder %s; --state says which does", state)
	case err != nil:
		return fmt.Errorf("not restarted, the process that ran goes on: %w", err)
	}
	fmt.Printf("restarted after %v; process %d has its place\n", time.Since(begin).Round(time.Millisecond), server.Holder(state))
	return nil
}

// world restarts nodes of an up world.
func (c *restartCmd) world(ctx context.Context, r world.Record) error {
	remote := world.Connect(r)
	nodes := c.Nodes
	if len(nodes) == 0 {
		all, err := remote.Processes(ctx)
		if err != nil {
			return err
		}
		for _, p := range all {
			nodes = append(nodes, p.Node)
		}
	}
	for _, node := range nodes {
		begin := time.Now()
		if err := remote.Restart(ctx, node); err != nil {
			return err
		}
		fmt.Printf("%s: restarted after %v\n", node, time.Since(begin).Round(time.Millisecond))
	}
	return nil
}
