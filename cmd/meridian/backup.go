package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

func (c *backupCmd) Run(ctx context.Context, a *client.Client) error {
	b, err := a.Backup(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(b)
	}
	fmt.Printf("base backup %s of %s: %s\n", b.Name, b.Region, megabytes(b.Bytes))
	return nil
}

type backupsCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *backupsCmd) Run(ctx context.Context, a *client.Client) error {
	all, err := a.Backups(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	s, err := a.Status(ctx)
	if err != nil {
		return err
	}
	return printBackups(os.Stdout, all, s.Backup)
}

// printBackups writes a line for each base backup, and up to when the log leads
// from the newest, as far as the primary's region says.
func printBackups(out io.Writer, all []client.Backup, k *client.Keeping) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "there is no base backup yet; `meridian backup` makes one")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tENDED\tREGION\tSYSTEM\tSIZE\tTIMELINE\tFROM\tUNTIL")
	for _, b := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", b.Name, moment(b.Ended), b.Region, b.System, megabytes(b.Bytes), b.Timeline, b.From, or(b.Until, "-"))
	}
	if err := w.Flush(); err != nil || k == nil || k.Archived.IsZero() {
		return err
	}
	_, err := fmt.Fprintf(out, "the log is kept up to %s\n", moment(k.Archived))
	return err
}

// megabytes writes a size for people.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

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
	region, dir, made, err := c.where(f, g.State)
	if err != nil {
		return err
	}
	done, err := server.Restore(ctx, f, region, dir, c.System, to)
	if err != nil && made != "" {
		err = errors.Join(err, os.RemoveAll(made)) // so that another try finds nothing there
	}
	if err != nil {
		return err
	}
	fmt.Printf("the database of %s is restored: %s; its last transaction is of %s\n", region, done.Why, or(done.Last, "before the backup ended"))
	return nil
}

// where returns the region whose database is made, its node's folder, and the
// folder that it made for them, if it did. Other regions copy the database when
// they start, so nothing of a world may be there yet.
func (c *restoreCmd) where(f *config.File, state string) (region meridian.Region, dir, made string, err error) {
	if state, err = filepath.Abs(state); err != nil {
		return "", "", "", err
	}
	if len(f.Nodes) > 0 {
		n, ok := f.Node(c.Node)
		if !ok || !n.Has(config.RoleRegion) {
			return "", "", "", fmt.Errorf("--node %q: expected a node of %s with the role region", c.Node, c.File)
		}
		return n.Region, state, "", nil
	}
	if c.Node != "" {
		return "", "", "", fmt.Errorf("--node %q: %s is an up world's file, it names no nodes", c.Node, c.File)
	}
	if state, _, err = world.Settle(state); err != nil {
		return "", "", "", err
	}
	nodes := filepath.Join(state, "nodes")
	if _, err := os.Lstat(nodes); !errors.Is(err, fs.ErrNotExist) {
		return "", "", "", fmt.Errorf("%s holds a world already; a restore goes into a new one: give another --state", state)
	}
	if err := os.MkdirAll(nodes, 0o755); err != nil {
		return "", "", "", err
	}
	return f.Primary(), filepath.Join(nodes, world.FolderOf(string(f.Primary()))), nodes, nil
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
