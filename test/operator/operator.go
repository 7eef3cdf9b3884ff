// Package operator drives a world as a person would, through the command line
// alone. It is for programs; tests have package harness.
package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"meridian/client"
)

// A World is a world on this machine.
type World struct {
	Binary string // meridian
	State  string // the world's folder
}

// Up starts the world of a file in a folder of its own under /var/tmp, which
// other users can pass through. In block 0 it takes the first that is free.
// end ends the world and removes the folder.
func Up(ctx context.Context, binary, file string, block int) (w World, end func() error, err error) {
	dir, err := os.MkdirTemp("/var/tmp", "meridian-world-")
	if err != nil {
		return w, nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return w, nil, err
	}
	w = World{binary, dir + "/world"}
	end = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 45*time.Second)
		defer cancel()
		_, err := w.Run(ctx, "down")
		return errors.Join(err, os.RemoveAll(dir))
	}
	args := []string{"up", "--detach", file}
	if block != 0 {
		args = append(args, "--block", strconv.Itoa(block))
	}
	if _, err := w.Run(ctx, args...); err != nil {
		return w, nil, errors.Join(err, end())
	}
	return w, end, nil
}

// Run runs a command on the world and returns what it printed.
func (w World) Run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, w.Binary, append(args, "--state", w.State)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("meridian %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// Status asks for the world's state.
func (w World) Status(ctx context.Context) (s client.Status, err error) {
	out, err := w.Run(ctx, "status", "--json")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return s, fmt.Errorf("status --json: %w", err)
	}
	return s, nil
}

// Whole says what is not as it should be in a world without faults: nil, if
// one region is primary and every region and edge is healthy.
func Whole(s client.Status) error {
	primaries := 0
	for _, r := range s.Regions {
		if r.Primary {
			primaries++
		}
		if !r.Healthy {
			return fmt.Errorf("region %s: %s", r.Name, r.Why)
		}
	}
	for _, e := range s.Edges {
		if !e.Healthy {
			return fmt.Errorf("edge %s: %s", e.Name, e.Why)
		}
	}
	if primaries != 1 {
		return fmt.Errorf("%d regions are primary", primaries)
	}
	return nil
}

// Until asks every 100 ms until ok says nil; the error is its last complaint.
func Until(ctx context.Context, patience time.Duration, ok func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var err error
	for {
		now := ok(ctx)
		if now == nil {
			return nil
		}
		if err == nil || ctx.Err() == nil { // what is cut short complains of that alone
			err = now
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", patience, err)
		case <-tick.C:
		}
	}
}
