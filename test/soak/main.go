// Command soak runs a world under mixed load from all edges for a while, and
// shows that nothing grows: no goroutines, no open files, no memory.
//
//	go run ./test/soak --binary bin/meridian --duration 10m
//
// It takes a first sample after a warm-up, a last one after the load has ended
// and the world has been quiet, and fails if a node has grown in between, or
// if a request failed.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// What a node may grow by between the samples. Pools and caches fill; a leak
// of one for each of ten thousands of requests would be far beyond.
const (
	moreGoroutines = 100
	moreFiles      = 60
	moreMemory     = 48 << 20 // bytes
)

var (
	binary   = flag.String("binary", "bin/meridian", "the meridian to run")
	file     = flag.String("file", "examples/conduit/meridian.yaml", "the world's file")
	warm     = flag.Duration("warm", time.Minute, "load before the first sample")
	duration = flag.Duration("duration", 10*time.Minute, "load between the samples")
	quiet    = flag.Duration("quiet", 15*time.Second, "silence before each sample")
	rate     = flag.Int("rate", 20, "requests a second")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := soak(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(ctx context.Context) (err error) {
	state, err := os.MkdirTemp("/var/tmp", "meridian-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(state)
	if err := os.Chmod(state, 0o755); err != nil {
		return err
	}
	world := filepath.Join(state, "world")
	if err := run(ctx, *binary, "up", "--detach", "--state", world, *file); err != nil {
		return err
	}
	defer func() {
		if down := run(context.WithoutCancel(ctx), *binary, "down", "--state", world); err == nil {
			err = down
		}
	}()
	status := filepath.Join(state, "status.json")
	out, err := exec.CommandContext(ctx, *binary, "status", "--json", "--state", world).Output()
	if err != nil {
		return err
	}
	if err := os.WriteFile(status, out, 0o600); err != nil {
		return err
	}
	first, err := loaded(ctx, status, *warm)
	if err != nil {
		return err
	}
	last, err := loaded(ctx, status, *duration)
	if err != nil {
		return err
	}
	return compare(first, last)
}

// loaded runs the load program, waits for silence, and samples every node.
func loaded(ctx context.Context, status string, d time.Duration) (map[string]sample, error) {
	if err := run(ctx, "go", "run", "./test/load", "--status", status, "--duration", d.String(), "--rate", strconv.Itoa(*rate)); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(*quiet):
	}
	return samples(ctx, status)
}

func run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// A sample is what a node holds.
type sample struct{ goroutines, files, memory float64 }

func samples(ctx context.Context, statusFile string) (map[string]sample, error) {
	b, err := os.ReadFile(statusFile)
	if err != nil {
		return nil, err
	}
	var s struct {
		Console string
		Nodes   []struct{ Name string }
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	out := map[string]sample{}
	for _, n := range s.Nodes {
		m, err := metrics(ctx, s.Console+"/metrics?node="+url.QueryEscape(n.Name))
		if err != nil {
			return nil, fmt.Errorf("metrics of %s: %w", n.Name, err)
		}
		out[n.Name] = sample{m["go_goroutines"], m["process_open_fds"], m["process_resident_memory_bytes"]}
	}
	return out, nil
}

// metrics reads the plain values of a Prometheus page.
func metrics(ctx context.Context, url string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
		name, value, _ := strings.Cut(sc.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = v
		}
	}
	return out, nil
}

// compare prints both samples and says whether a node has grown.
func compare(first, last map[string]sample) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "NODE\tGOROUTINES\t\tFILES\t\tMEMORY MiB\t\t")
	var grown []string
	for _, name := range slices.Sorted(maps.Keys(first)) {
		a, b := first[name], last[name]
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", name, a.goroutines, b.goroutines, a.files, b.files, a.memory/(1<<20), b.memory/(1<<20))
		if b.goroutines > a.goroutines+moreGoroutines || b.files > a.files+moreFiles || b.memory > a.memory+moreMemory {
			grown = append(grown, name)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(grown) > 0 {
		return fmt.Errorf("grown: %s", strings.Join(grown, ", "))
	}
	return nil
}
