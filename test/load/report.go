package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// A report collects what happened. Its methods may be called by many.
type report struct {
	faults bool // the world has faults

	mu     sync.Mutex // guards what follows
	series map[[2]string]*series
	lates  histogram
	errors []error // the first few
	failed int
}

// A series is one operation at one edge.
type series struct {
	took   histogram
	told   int
	failed int
}

func newReport() *report { return &report{series: map[[2]string]*series{}} }

// at returns the series of an operation at an edge. r.mu is held.
func (r *report) at(op, edge string) *series {
	key := [2]string{op, edge}
	if r.series[key] == nil {
		r.series[key] = &series{}
	}
	return r.series[key]
}

func (r *report) add(op, edge string, took time.Duration, err error) {
	r.mu.Lock()
	r.at(op, edge).took.add(took)
	r.mu.Unlock()
	if err != nil {
		r.wrong(op, edge, err)
	}
}

// told notes an answer that says that nothing was done, or that it is not known.
func (r *report) told(op, edge string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.at(op, edge)
	s.took.add(took)
	s.told++
}

// wrong notes a failure of a request that was counted already.
func (r *report) wrong(op, edge string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	r.at(op, edge).failed++
	if len(r.errors) < shownErrors {
		r.errors = append(r.errors, fmt.Errorf("%s %s at %s: %w", time.Now().UTC().Format(time.TimeOnly), op, edge, err))
	}
}

func (r *report) late(by time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lates.add(by)
}

func (r *report) failures() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// last returns the newest error that was kept, or nil.
func (r *report) last() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errors) == 0 {
		return nil
	}
	return r.errors[len(r.errors)-1]
}

func (r *report) print(out io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "operation\tedge\trequests\ttold\terrors\tp50 ms\tp99 ms\tmax ms\t")
	var all series
	keys := slices.SortedFunc(maps.Keys(r.series), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, key := range keys {
		s := r.series[key]
		line(table, key[0], key[1], s)
		all.took.merge(&s.took)
		all.told += s.told
	}
	all.failed = r.failed
	line(table, "all", "all", &all)
	table.Flush()
	fmt.Fprintf(out, "steps started late by p50 %.1f ms, p99 %.1f ms\n", ms(r.lates.quantile(0.5)), ms(r.lates.quantile(0.99)))
	for _, err := range r.errors {
		fmt.Fprintln(out, err)
	}
	if more := r.failed - len(r.errors); more > 0 {
		fmt.Fprintf(out, "and %d more errors\n", more)
	}
}

func line(out io.Writer, op, edge string, s *series) {
	fmt.Fprintf(out, "%s\t%s\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t\n", op, edge, s.took.count, s.told, s.failed,
		ms(s.took.quantile(0.5)), ms(s.took.quantile(0.99)), ms(s.took.most))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// A histogram counts durations in buckets that grow by an eighth of a power of
// two, from a microsecond, so that its memory does not grow with the load.
type histogram struct {
	count   int
	most    time.Duration
	buckets [8 * 32]int
}

func (h *histogram) add(d time.Duration) {
	h.count++
	h.most = max(h.most, d)
	i := int(8 * math.Log2(max(1, float64(d)/float64(time.Microsecond))))
	h.buckets[min(i, len(h.buckets)-1)]++
}

func (h *histogram) merge(other *histogram) {
	h.count += other.count
	h.most = max(h.most, other.most)
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

// quantile returns an upper bound of the q-quantile, at most 9 % above it.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(h.count)))
	for i, n := range h.buckets {
		if rank -= n; n > 0 && rank <= 0 {
			return min(h.most, time.Duration(math.Exp2(float64(i+1)/8)*float64(time.Microsecond)))
		}
	}
	return h.most
}
