package idle

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// opens is set for a process that is the clients of an edge: "ADDRESS ALPN N".
const opens = "MERIDIAN_BENCH_IDLE_CLIENTS"

// BenchmarkAll holds all of 100,000 connections open at once, or as many as
// -connections says, at as many edges as it takes where a process may not have so many files:
// a system's limit bounds one process, and here is told what all of them take.
func BenchmarkAll(b *testing.B) {
	n := *connections
	if n == 0 {
		n = 100_000
	}
	for _, alpn := range []string{"http/1.1", "h2"} {
		b.Run(strings.ReplaceAll(alpn, "/", ""), func(b *testing.B) {
			edges, whole, err := together(b.Context(), n, alpn)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(n), "connections")
			b.ReportMetric(float64(edges), "edges")
			b.ReportMetric(float64(whole)/(1<<30), "GiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// together opens n connections, and returns how many edges hold them and the
// resident memory of these processes in bytes, with all that they had before.
func together(ctx context.Context, n int, alpn string) (edges, whole int, err error) {
	var held []held
	for left := n; left > 0; left -= count(left) {
		h, err := hold(ctx, count(left), alpn)
		if err != nil {
			return 0, 0, err
		}
		defer h.stop()
		held = append(held, h)
	}
	select {
	case <-time.After(*rest):
	case <-ctx.Done():
	}
	for _, h := range held {
		size, err := h.edge.resident(ctx)
		if err != nil {
			return 0, 0, err
		}
		whole += size
	}
	for _, h := range held {
		if err := h.alive(); err != nil {
			return 0, 0, err
		}
	}
	return len(held), whole, nil
}

// held are an edge and its clients, a process each.
type held struct{ edge, clients *process }

func hold(ctx context.Context, n int, alpn string) (held, error) {
	edge, err := start(ctx, serves+"=1")
	if err != nil {
		return held{}, err
	}
	clients, err := start(ctx, fmt.Sprintf("%s=%s %s %d", opens, edge.addr, alpn, n))
	if err != nil {
		edge.stop()
		return held{}, err
	}
	return held{edge, clients}, nil
}

func (h held) stop() { h.clients.stop(); h.edge.stop() }

// alive returns an error if the edge has closed a connection of these clients.
func (h held) alive() error {
	if _, err := io.WriteString(h.clients.in, "alive\n"); err != nil {
		return err
	}
	if said, err := h.clients.line(); err != nil || said != "true" {
		return fmt.Errorf("clients: %s (%v)", said, err)
	}
	return nil
}

// beClients opens connections as what says, tells where to, and then answers
// each line of its input with whether all are still open.
func beClients(ctx context.Context, what string, in io.Reader) error {
	f := strings.Fields(what)
	n, err := strconv.Atoi(f[2])
	if err != nil {
		return err
	}
	var conns []net.Conn
	if conns, err = open(ctx, f[0], n, f[1], true); err != nil {
		return err
	}
	fmt.Println(f[0])
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if err := alive(conns); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(true)
	}
	return nil
}

// be is what this process is where it is no test: an edge, or clients of one.
func be(ctx context.Context) (is bool, err error) {
	if what := os.Getenv(opens); what != "" {
		return true, beClients(ctx, what, os.Stdin)
	}
	if os.Getenv(serves) != "" {
		return true, beEdge(ctx)
	}
	return false, nil
}
