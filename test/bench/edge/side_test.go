package edge_test

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"meridian/test/bench/peer"
)

// BenchmarkSideBySide asks each door once for each kind of request, in an order
// that mixes the doors, and prints a table. BENCH_SECONDS is how long each run
// takes; default 5. BENCH_ONLY is a pattern of the runs that are made, as in
// "meridian hit h2".
func BenchmarkSideBySide(b *testing.B) {
	if peer.Programs() == "" {
		b.Skip("BENCH_PROGRAMS does not say where nginx and the others are: make bench-edge")
	}
	at := origin(b)
	ways := []way{nginx(b, at), meridian(b, at), haproxy(b, at)}
	only := regexp.MustCompile(os.Getenv("BENCH_ONLY"))
	for b.Loop() {
		fmt.Printf("| %-8s | %-5s | %-4s | %10s | %8s | %8s | %11s |\n|---|---|---|---|---|---|---|\n", "door", "what", "by", "requests/s", "p50", "p99", "CPU/request")
		for _, what := range []string{"hit", "pass"} {
			for _, by := range []string{"h1", "h2"} {
				for _, w := range ways {
					if only.MatchString(w.name + " " + what + " " + by) {
						w.run(b, what, by)
					}
				}
			}
		}
	}
}

// run measures one way and prints its line.
func (w way) run(b *testing.B, what, by string) {
	seconds := cmp.Or(os.Getenv("BENCH_SECONDS"), "5")
	w.load(b, "1", what, by) // what is warm then stays so
	before := peer.CPU(w.pid)
	out := w.load(b, seconds, what, by)
	used := peer.CPU(w.pid) - before
	m := read(out)
	if m.requests == 0 || m.failed != "" {
		b.Errorf("%s, %s, %s: %s\n%s", w.name, what, by, m.failed, out)
		return
	}
	s, _ := strconv.Atoi(seconds)
	each := (used / time.Duration(m.requests)).Round(100 * time.Nanosecond)
	fmt.Printf("| %-8s | %-5s | %-4s | %10d | %8s | %8s | %11s |\n", w.name, what, by, m.requests/s, m.p50, m.p99, each)
}

// load asks by one thread: over 64 connections by HTTP/1.1, over 16 with 4
// streams each by HTTP/2.
func (w way) load(b *testing.B, seconds, what, by string) string {
	url := "https://" + w.addr + "/" + what
	cmd := peer.Command("wrk", "-t1", "-c64", "-d"+seconds, "--latency", "-H", "Host: "+domain, url)
	if by == "h2" {
		cmd = peer.Command("h2load", "-t1", "-c16", "-m4", "-D"+seconds, "--header", ":authority: "+domain, url)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

// A measured is what a program of load says.
type measured struct {
	requests int
	p50, p99 string
	failed   string
}

var (
	wrkTotal   = regexp.MustCompile(`(\d+) requests in`)
	wrkAt      = regexp.MustCompile(`(50|99)%\s+(\S+)`)
	wrkFailed  = regexp.MustCompile(`Non-2xx.*|Socket errors.*`)
	loadTotal  = regexp.MustCompile(`(\d+) succeeded, (\d+) failed, (\d+) errored`)
	loadStatus = regexp.MustCompile(`status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)
	loadMean   = regexp.MustCompile(`time for request:\s+\S+\s+\S+\s+(\S+)`)
)

// read takes a program's words apart. h2load tells the mean and no percentile.
func read(out string) (m measured) {
	if t := wrkTotal.FindStringSubmatch(out); t != nil {
		m.requests, _ = strconv.Atoi(t[1])
		m.failed = wrkFailed.FindString(out)
		for _, at := range wrkAt.FindAllStringSubmatch(out, -1) {
			if at[1] == "50" {
				m.p50 = at[2]
			} else {
				m.p99 = at[2]
			}
		}
		return m
	}
	t, s, mean := loadTotal.FindStringSubmatch(out), loadStatus.FindStringSubmatch(out), loadMean.FindStringSubmatch(out)
	if t == nil || s == nil || mean == nil {
		return measured{failed: "no summary"}
	}
	m.requests, _ = strconv.Atoi(t[1])
	if t[2] != "0" || t[3] != "0" || s[1] != "0" || s[2] != "0" || s[3] != "0" {
		m.failed = t[0] + "; " + s[0]
	}
	m.p50, m.p99 = "~"+mean[1], "-"
	return m
}
