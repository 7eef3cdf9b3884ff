package docs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"meridian"
	"meridian/backbone"
	"meridian/config"
	"meridian/dns"
	"meridian/edge"
	"meridian/edge/cert"
	"meridian/edge/purge"
	"meridian/gateway"
	"meridian/health"
	"meridian/lambda"
	"meridian/postgres"
	"meridian/postgres/backup"
	"meridian/postgres/instance"
	"meridian/store"
	"meridian/topology"
)

func TestTheFilesGuideShowsEveryKey(t *testing.T) {
	generated(t, "docs/guides/config.md", "reference", "```yaml\n"+config.Reference()+"```\n")
}

func TestTheMetricsGuideShowsEveryName(t *testing.T) {
	names := described{}
	registerAll(t, names)
	table := "| name | what |\n|---|---|\n"
	for _, name := range slices.Sorted(maps.Keys(names)) {
		table += fmt.Sprintf("| `%s` | %s |\n", name, names[name])
	}
	generated(t, "docs/operations/observe.md", "metrics", table)
}

// generated compares what stands between two marks of a page with what
// should, and writes it with -rewrite.
func generated(t *testing.T, page, mark, want string) {
	t.Helper()
	text := read(t, page)
	begin, end := "<!-- "+mark+" -->\n", "<!-- /"+mark+" -->"
	head, rest, ok1 := strings.Cut(text, begin)
	got, tail, ok2 := strings.Cut(rest, end)
	switch {
	case !ok1 || !ok2:
		t.Errorf("%s has no %s%s", page, begin, end)
	case got == want:
	case *rewrite:
		if err := os.WriteFile(filepath.Join(root, page), []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the program says now: go test ./test/docs -rewrite, and look at the difference", page)
	}
}

// described is a registry that keeps what the metrics are for, by name. Unlike
// a real one it sees those that have counted nothing yet.
type described map[string]string

var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)"`)

// Register implements prometheus.Registerer.
func (d described) Register(c prometheus.Collector) error {
	all := make(chan *prometheus.Desc, 16)
	go func() { c.Describe(all); close(all) }() // ends with the loop
	for desc := range all {
		m := description.FindStringSubmatch(desc.String())
		if m == nil {
			return fmt.Errorf("not understood: %s", desc)
		}
		d[m[1]] = m[2]
	}
	return nil
}

// MustRegister implements prometheus.Registerer.
func (d described) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (d described) Unregister(prometheus.Collector) bool { return false }

// nobody is an invoker that nobody calls.
type nobody struct{ gateway.Invoker }

// registerAll builds every hop, and runs none.
func registerAll(t *testing.T, reg prometheus.Registerer) {
	t.Helper()
	nowhere := func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	must(dns.New(dns.Config{Domain: "api.example.test", Listen: []string{"127.0.0.1:0"}}, dns.Deps{Map: new(topology.Map), Metrics: reg}))
	must(edge.New(edge.Config{Place: "eu-west-1", HTTPS: "127.0.0.1:0"}, edge.Deps{
		Map: new(topology.Map), Dial: func(context.Context, meridian.Region) (net.Conn, error) { return nil, net.ErrClosed },
		Certs: cert.New(cert.Config{}), Metrics: reg,
	}))
	must(nil, reg.Register(cert.New(cert.Config{}).Collector()))
	must(purge.NewSender(purge.Config{}, purge.Deps{Metrics: reg}))
	must(gateway.New(gateway.Config{API: []byte("openapi: 3.1.0\npaths: {}\n")}, gateway.Deps{Invoke: nobody{}, Metrics: reg}))
	must(lambda.New(lambda.Config{}, lambda.Deps{Metrics: reg}))
	must(postgres.New(postgres.Config{Region: "eu-west-1", Database: "hello"}, postgres.Deps{Local: nowhere, Map: new(topology.Map), Metrics: reg}))
	must(instance.New(instance.Config{Region: "eu-west-1", Dir: t.TempDir(), SocketDir: "/tmp/meridian-docs", Database: "hello"}, instance.Deps{Metrics: reg}))
	backup.New(backup.Config{}, nil, backup.Deps{Log: slog.New(slog.DiscardHandler), Metrics: reg})
	must(store.NewFollower(store.FollowerConfig{Dir: t.TempDir()}, store.Deps{
		Relays: []func(context.Context) (net.Conn, error){nowhere}, Log: slog.New(slog.DiscardHandler), Metrics: reg,
	}))
	must(health.New(health.Config{Node: "eu-west-1"}, health.Deps{Open: func(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed }, Listener: l, Metrics: reg}))
	must(backbone.New(backbone.Config{Node: "eu-west-1"}, backbone.Deps{
		Cert: tls.Certificate{Certificate: [][]byte{{}}}, Roots: x509.NewCertPool(), Listener: l, Metrics: reg,
	}))
}
