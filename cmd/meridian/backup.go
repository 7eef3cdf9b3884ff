package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/server"
	"meridian/world"
)

type backupCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *backupCmd) Run(ctx context.Context, g *Global) error {
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	b, err := a.Backup(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(b)
	}
	fmt.Printf("base backup %s of %s: %s\n", b.Name, b.Region, config.Size(b.Bytes))
	return nil
}

type backupsCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *backupsCmd) Run(ctx context.Context, g *Global) error {
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	all, err := a.Backups(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	return printBackups(all)
}

func printBackups(all []client.Backup) error {
	if len(all) == 0 {
		fmt.Println("there is no base backup yet; `meridian backup` makes one")
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tENDED\tREGION\tSYSTEM\tSIZE\tTIMELINE\tFROM\tUNTIL")
	for _, b := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.1f MB\t%d\t%s\t%s\n", b.Name, b.Ended.UTC().Format("2006-01-02 15:04:05Z"), b.Region, b.System, float64(b.Bytes)/1e6, b.Timeline, b.From, or(b.Until, "-"))
	}
	return w.Flush()
}

type restoreCmd struct {
	File     string `arg:"" help:"The file whose database.backup says where the backups are." placeholder:"FILE"`
	To       string `help:"A time such as 2026-11-25T12:00:00Z, or a position such as 0/3000148. Default: the end of the log." placeholder:"MOMENT"`
	Node     string `help:"The node of a production file whose database is made. Default: an up world's primary." placeholder:"NAME"`
	System   uint64 `help:"The identifier of the database system, where there are backups of several." placeholder:"ID"`
	Timeline uint32 `help:"Follow the log along this timeline. Default: the newest." placeholder:"N"`
}

func (c *restoreCmd) Run(ctx context.Context, g *Global) error {
	f, err := config.Load(c.File)
	if err != nil {
		return err
	}
	to, err := target(c.To)
	if err != nil {
		return err
	}
	to.Timeline = c.Timeline
	region, dir, err := c.where(f, g.State)
	if err != nil {
		return err
	}
	done, err := server.Restore(ctx, f, region, dir, c.System, to)
	if err != nil {
		return err
	}
	fmt.Printf("the database of %s is restored: %s\n", region, done.Why)
	return nil
}

// where returns the region whose database is made and its node's folder. Other
// regions copy it when they start, so nothing of a world may be there yet.
func (c *restoreCmd) where(f *config.File, state string) (meridian.Region, string, error) {
	state, err := filepath.Abs(state)
	if err != nil {
		return "", "", err
	}
	if len(f.Nodes) > 0 {
		n, ok := f.Node(c.Node)
		if !ok || !n.Has(config.RoleRegion) {
			return "", "", fmt.Errorf("--node %q: expected a node of %s with the role region", c.Node, c.File)
		}
		return n.Region, state, nil
	}
	if state, _, err = world.Settle(state); err != nil {
		return "", "", err
	}
	nodes := filepath.Join(state, "nodes")
	if _, err := os.Lstat(nodes); !errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("%s holds a world already; a restore goes into a new one: give another --state", state)
	}
	if err := os.MkdirAll(nodes, 0o755); err != nil {
		return "", "", err
	}
	return f.Primary(), filepath.Join(nodes, world.FolderOf(string(f.Primary()))), nil
}

// target reads the moment to restore to.
func target(s string) (server.Moment, error) {
	if s == "" {
		return server.Moment{}, nil
	}
	if lsn, err := meridian.ParseLSN(s); err == nil && lsn > 0 {
		return server.Moment{LSN: lsn}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return server.Moment{Time: t}, nil
	}
	return server.Moment{}, fmt.Errorf("--to %q: expected a time such as 2026-11-25T12:00:00Z, or a position such as 0/3000148", s)
}
