// Command load asks a Conduit world for a while, through all its edges, and
// checks every answer: what one edge wrote, the next one asked must show.
//
//	meridian status --json > status.json
//	go run ./test/load --status status.json --duration 10m --rate 60
//
// It prints, for each operation at each edge, how many there were, how many of
// them the world said that it could not do, and how long they took, and ends with
// status 1 if any answer was wrong or missing.
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"meridian/test/conduit"
	"meridian/test/operator"
)

// shownErrors bounds how many errors are printed in full.
const shownErrors = 20

func main() { operator.Main("load", run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	status := flags.String("status", "status.json", "`file` with what meridian status --json printed, - for stdin")
	ca := flags.String("ca", "", "`file` with the CA's certificate; default: the one that the status names")
	duration := flags.Duration("duration", time.Minute, "how long to start new requests")
	rate := flags.Float64("rate", 20, "steps a second, over all edges; a step is one request, or a write and the read that checks it")
	callers := flags.Int("callers", 12, "users who are active at once")
	faults := flags.Bool("faults", false, "the world has faults: an answer that says so (503 with Retry-After; to a write 502 and 504, too) is counted, and no error")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rate <= 0 || *callers <= 0 {
		return errors.New("--rate and --callers must be more than 0")
	}
	edges, err := readStatus(*status, *ca)
	if err != nil {
		return err
	}
	report := newReport()
	report.faults = *faults
	err = drive(ctx, edges, *duration, *rate, *callers, report)
	report.print(out)
	if n := report.failures(); err == nil && n > 0 {
		err = fmt.Errorf("%d requests failed", n)
	}
	return err
}

// An edge is a door of the world under load.
type edge struct {
	name string
	conduit.Endpoint
}

// readStatus returns the world's edges. The CA is that of the status unless
// another file is named.
func readStatus(file, ca string) ([]edge, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the status: %w", err)
	}
	var status struct {
		Domain string
		CA     string
		Edges  []struct{ Name, HTTPS string }
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return nil, fmt.Errorf("read the status: %s: %w", file, err)
	}
	if ca == "" {
		ca = status.CA
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the CA: %s holds no certificate", ca)
	}
	var edges []edge
	for _, e := range status.Edges {
		edges = append(edges, edge{e.Name, conduit.Endpoint{Domain: status.Domain, Addr: e.HTTPS, Roots: roots}})
	}
	if len(edges) == 0 {
		return nil, fmt.Errorf("read the status: %s names no edge", file)
	}
	return edges, nil
}

func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}
