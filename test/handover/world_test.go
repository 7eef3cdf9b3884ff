package handover_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/test/harness"
)

// A site is a region and an edge, each a `meridian serve`, and an origin of the
// test's own behind the edge.
type site struct {
	t      *testing.T
	bin    string // is replaced by upgrades: what nodes run
	dir    string
	file   string
	place  string // the first three bytes of its addresses
	edge   string // address
	nodes  []string
	roots  *x509.CertPool
	origin *httptest.Server
	procs  map[string]*process
	env    []string // of nodes, beside the test's own
}

const domain = "api.example.test"

// Nodes of a site: an edge beside its region, or in one process with it.
const (
	twoNodes = `  - {name: us-east-1, region: us-east-1, address: PLACE.1, roles: [region, control]}
  - {name: us-east-1/edge, region: us-east-1, address: PLACE.2, roles: [edge]}`
	oneNode = `  - {name: us-east-1, region: us-east-1, address: PLACE.1, roles: [region, edge, control]}`
)

// newSite makes the file and certificates of a site, and starts nothing. more is
// appended to the file.
func newSite(t *testing.T, nodes, more string, answer http.HandlerFunc) *site {
	t.Helper()
	s := emptySite(t)
	s.origin = httptest.NewServer(answer)
	t.Cleanup(s.origin.Close)
	if s.edge, s.nodes = s.place+".2", []string{"us-east-1", "us-east-1/edge"}; nodes == oneNode {
		s.edge, s.nodes = s.place+".1", s.nodes[:1]
	}
	example := filepath.Join(harness.Root(t), "examples/hello")
	text := fmt.Sprintf(`domain: %s
regions: {us-east-1: {primary: true}}
edges: [us-east-1]
api: %s/openapi.yaml
functions: {hello: {binary: %s, min: 0}}
pki: ./pki
nodes:
%s
behaviors:
  - {path: "*", origin: here}
origins:
  here: {url: %s}
%s
`, domain, example, s.bin, strings.ReplaceAll(nodes, "PLACE", s.place), s.origin.URL, more)
	s.install(text)
	return s
}

// emptySite returns a site without a file.
func emptySite(t *testing.T) *site {
	t.Helper()
	place := fmt.Sprintf("127.%d.%d", 251+rand.IntN(4), 1+rand.IntN(250))
	return &site{t: t, bin: harness.Binary(t), dir: harness.Folder(t), place: place, procs: map[string]*process{}}
}

// install writes the file of a site and makes the certificates that it needs.
func (s *site) install(text string) {
	t := s.t
	t.Helper()
	s.file = filepath.Join(s.dir, "meridian.yaml")
	s.write(text)
	s.run("pki", "--out", filepath.Join(s.dir, "pki"), s.file)
	cert := filepath.Join(s.dir, "pki/server-"+domain)
	s.write(text + fmt.Sprintf("certificates: [{cert: %s.pem, key: %s.key}]\n", cert, cert))
	pem, err := os.ReadFile(filepath.Join(s.dir, "pki/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(pem)
}

func (s *site) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// run runs a command that must succeed.
func (s *site) run(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *site) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.bin, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("meridian %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// A process is one `meridian serve`, and those that took its place.
type process struct {
	cmd *exec.Cmd
	log string
	end chan struct{} // closed when the first has ended
}

func (s *site) state(node string) string {
	return filepath.Join(s.dir, "state-"+strings.ReplaceAll(node, "/", "+"))
}

// serve starts a node.
func (s *site) serve(node string) *process {
	s.t.Helper()
	p := &process{log: s.state(node) + ".log", end: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(s.bin, "serve", "--node", node, "--state", s.state(node), s.file)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = append(os.Environ(), s.env...), log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { defer close(p.end); p.cmd.Wait() }() // awaited by the cleanup
	s.procs[node] = p
	s.t.Cleanup(func() {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) // the group: those that took its place, too
		harness.Eventually(s.t, 20*time.Second, func() error {
			if syscall.Kill(-p.cmd.Process.Pid, 0) == nil {
				return fmt.Errorf("processes of %s are left", node)
			}
			return nil
		})
		<-p.end
		if s.t.Failed() {
			b, _ := os.ReadFile(p.log)
			text := strings.Join(slices.DeleteFunc(strings.SplitAfter(string(b), "\n"), func(line string) bool {
				return strings.Contains(line, `"msg":"request"`) || strings.Contains(line, `"function output"`) || strings.Contains(line, "part ready")
			}), "")
			s.t.Logf("%s:\n%s", node, text[max(0, len(text)-8000):])
		}
	})
	return p
}

// restarts returns once the node has been restarted so often.
func (p *process) restarts(t *testing.T, often int) {
	t.Helper()
	harness.Eventually(t, 60*time.Second, func() error {
		b, _ := os.ReadFile(p.log)
		if n := strings.Count(string(b), `"the next process has taken this one's place"`); n != often {
			return fmt.Errorf("%d of %d restarts", n, often)
		}
		return nil
	})
}

// up starts the nodes and waits until the edge answers.
func (s *site) up() {
	s.t.Helper()
	for _, n := range s.nodes {
		s.serve(n)
	}
	s.answers()
}

// answers waits until the edge does.
func (s *site) answers() {
	s.t.Helper()
	c := s.client()
	harness.Eventually(s.t, 90*time.Second, func() error {
		resp, err := c.Get("https://" + domain + "/")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", resp.Status)
		}
		return nil
	})
	c.CloseIdleConnections()
}

func (s *site) https() string { return net.JoinHostPort(s.edge, "8443") }
