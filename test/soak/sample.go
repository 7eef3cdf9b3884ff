package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"meridian/client"
)

// What a node may grow by between the samples. Pools and caches fill; a leak
// of one for each of ten thousands of requests would be far beyond.
const (
	moreGoroutines = 100
	moreFiles      = 60
	moreMemory     = 48 << 20 // bytes
)

// A sample is what a node holds. Its memory is where the heap is collected next,
// which is a fixed way above what lives, and its stacks: the resident set also
// counts garbage, and what is mapped of the binary and of the store's file, half of
// it, and what of those was ever read only grows.
type sample struct{ goroutines, files, memory float64 }

// samples asks every node of a world.
func samples(ctx context.Context, s client.Status) (map[string]sample, error) {
	out := map[string]sample{}
	for _, n := range s.Nodes {
		m, err := metrics(ctx, s.Console+"/metrics?node="+url.QueryEscape(n.Name))
		if err != nil {
			return nil, fmt.Errorf("metrics of %s: %w", n.Name, err)
		}
		out[n.Name] = sample{m["go_goroutines"], m["process_open_fds"], m["go_memstats_next_gc_bytes"] + m["go_memstats_stack_inuse_bytes"]}
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
func compare(out io.Writer, first, last map[string]sample) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
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
