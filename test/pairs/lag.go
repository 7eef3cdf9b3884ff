package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/client"
	"meridian/test/operator"
)

// delay makes every standby replay each commit so much later than it was made,
// as PostgreSQL itself offers it; 0 ends that.
func delay(ctx context.Context, w operator.World, s client.Status, by time.Duration) error {
	var errs []error
	for _, r := range s.Regions {
		if !r.Primary {
			errs = append(errs, delayOne(ctx, filepath.Join(w.State, "nodes", r.Name, "postgres", "pg"), by))
		}
	}
	return errors.Join(errs...)
}

func delayOne(ctx context.Context, data string, by time.Duration) error {
	folder, err := socket(data)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, fmt.Sprintf("host=%s user=meridian dbname=postgres", folder))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range []string{fmt.Sprintf("alter system set recovery_min_apply_delay = %d", by.Milliseconds()), "select pg_reload_conf()"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("delay the replay of %s: %w", data, err)
		}
	}
	return nil
}

// socket returns the folder of a running PostgreSQL's socket: the fifth line
// of its lock file.
func socket(data string) (string, error) {
	f, err := os.Open(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for range 5 {
		if !lines.Scan() {
			return "", fmt.Errorf("%s: want five lines or more", f.Name())
		}
	}
	return lines.Text(), nil
}

// watchLag asks until ctx ends how far the standbys are behind, and returns the
// most that it saw of each.
func watchLag(ctx context.Context, w operator.World) map[string]time.Duration {
	most := map[string]time.Duration{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if s, err := w.Status(ctx); err == nil {
			for _, r := range s.Regions {
				if !r.Primary {
					most[r.Name] = max(most[r.Name], time.Duration(r.ReplayLag)*time.Millisecond)
				}
			}
		}
		select {
		case <-ctx.Done():
			return most
		case <-tick.C:
		}
	}
}
