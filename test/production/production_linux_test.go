// Package production runs `meridian serve` as an operator would: a file with
// nodes, three machines with addresses of their own (network namespaces), and
// nothing of an up world.
package production_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/test/harness"
)

// machines are joined by a bridge in a namespace of its own, hub, from where
// the test asks. 192.0.2.0/24 is for documentation (RFC 5737).
var machines = []string{"us-east-1", "eu-west-1", "ap-southeast-1"}

func address(i int) string { return fmt.Sprintf("192.0.2.%d", 10+i) }

// TestThreeMachinesServeAndSurviveTheLossOfOne shows that nothing which serves
// in an up world depends on it. The lost node comes back, and finds the
// PostgreSQL that it had.
func TestThreeMachinesServeAndSurviveTheLossOfOne(t *testing.T) {
	switch machine := os.Getenv(inside); {
	case machine != "":
		ownRun(t, machine)
	case os.Getuid() != 0:
		asOrdinaryUser(t)
		return
	}
	dir := harness.Folder(t)
	n := newNetwork(t)
	file := install(t, dir, n.bin)
	var nodes []*node
	for i, name := range machines {
		nodes = append(nodes, n.serve(t, dir, file, i, name))
	}
	for i := range machines {
		harness.Eventually(t, 60*time.Second, func() error { return n.ask(t, dir, i, "/hello/you", "hello") })
	}
	if err := n.ask(t, dir, 1, "/visits", "visits\":1", "-X", "POST"); err != nil {
		t.Fatal(err)
	}
	before := postmaster(t, dir, 1)
	nodes[1].kill()
	for _, i := range []int{0, 2} {
		harness.Eventually(t, 10*time.Second, func() error { return n.ask(t, dir, i, "/hello/you", "hello") })
		harness.Eventually(t, 10*time.Second, func() error { return n.ask(t, dir, i, "/visits", "visits", "-X", "POST") })
	}
	nodes[1] = n.serve(t, dir, file, 1, machines[1])
	harness.Eventually(t, 60*time.Second, func() error { return n.ask(t, dir, 1, "/visits", "visits", "-X", "POST") })
	if now := postmaster(t, dir, 1); now != before {
		t.Errorf("PostgreSQL was %s before its node was killed, and is %s after", before, now)
	}
}

// postmaster returns pid and start of a machine's PostgreSQL, as its own pid
// file has them.
func postmaster(t *testing.T, dir string, i int) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "state-"+machines[i], "postgres/pg/postmaster.pid"))
	lines := strings.Split(string(b), "\n")
	if err != nil || len(lines) < 3 {
		t.Fatalf("the PostgreSQL of %s does not run: %q, %v", machines[i], b, err)
	}
	return lines[0] + " since " + lines[2]
}

// install makes what an operator copies to the machines: bundles, certificates
// and the file.
func install(t *testing.T, dir, bin string) (file string) {
	t.Helper()
	example := filepath.Join(harness.Root(t), "examples/hello")
	built := output(t, bin, "build", "--out", filepath.Join(dir, "bundles"), filepath.Join(example, "meridian.yaml"))
	_, binary, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(built), "}"), "binary: ")
	var b strings.Builder
	fmt.Fprintf(&b, "domain: api.example.test\nregions: {us-east-1: {primary: true}, eu-west-1: {}, ap-southeast-1: {}}\n")
	fmt.Fprintf(&b, "api: %s/openapi.yaml\npki: ./pki\n", example)
	fmt.Fprintf(&b, "functions:\n  hello: {binary: %s, concurrency: 8}\n", binary)
	fmt.Fprintf(&b, "database: {name: hello, migrations: %s/migrations, password: ./password}\nnodes:\n", example)
	for i, m := range machines {
		fmt.Fprintf(&b, "  - {name: %s, region: %s, address: %s, roles: [region, edge, control]}\n", m, m, address(i))
	}
	file = filepath.Join(dir, "meridian.yaml")
	write(t, filepath.Join(dir, "password"), "correct horse")
	write(t, file, b.String())
	output(t, bin, "pki", "--out", filepath.Join(dir, "pki"), file)
	cert := filepath.Join(dir, "pki/server-api.example.test")
	write(t, file, b.String()+fmt.Sprintf("certificates: [{cert: %s.pem, key: %s.key}]\n", cert, cert))
	output(t, bin, "check", file)
	return file
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}

// A network is three machines and a hub.
type network struct{ prefix, bin string }

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{fmt.Sprintf("mrd%d-", os.Getpid()), harness.Binary(t)}
	ip := func(args ...string) { t.Helper(); output(t, "ip", args...) }
	hub := n.prefix + "hub"
	ip("netns", "add", hub)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", hub).Run() })
	ip("-n", hub, "link", "set", "lo", "up")
	ip("-n", hub, "link", "add", "br0", "type", "bridge")
	ip("-n", hub, "addr", "add", "192.0.2.1/24", "dev", "br0")
	ip("-n", hub, "link", "set", "br0", "up")
	for i, m := range machines {
		ns, port := n.prefix+m, fmt.Sprintf("p%d", i)
		ip("netns", "add", ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns)
		ip("-n", hub, "link", "set", port, "master", "br0", "up")
		ip("-n", ns, "addr", "add", address(i)+"/24", "dev", "eth0")
		ip("-n", ns, "link", "set", "eth0", "up")
		ip("-n", ns, "link", "set", "lo", "up")
	}
	return n
}

// A node is one `meridian serve`.
type node struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (n *network) serve(t *testing.T, dir, file string, i int, name string) *node {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("ip", "netns", "exec", n.prefix+name, n.bin, "serve", "--node", name, "--state", filepath.Join(dir, "state-"+name), file)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	x := &node{cmd, make(chan struct{})}
	go func() { defer close(x.done); cmd.Wait() }() // awaited by the cleanup
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		select {
		case <-x.done:
		case <-time.After(15 * time.Second):
			t.Errorf("%s did not end", name)
			x.kill()
		}
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s", name, b[max(0, len(b)-4000):])
		}
	})
	return x
}

// kill ends the node at once. `ip netns exec` became it, so it is the child.
func (x *node) kill() {
	x.cmd.Process.Kill()
	<-x.done
}

// ask sends one request from the hub to the edge of a machine.
func (n *network) ask(t *testing.T, dir string, i int, path, want string, more ...string) error {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	args := append([]string{"netns", "exec", n.prefix + "hub", "curl", "-sS", "--max-time", "10", "--cacert", filepath.Join(dir, "pki/ca.pem"),
		"--resolve", "api.example.test:8443:" + address(i), "https://api.example.test:8443" + path}, more...)
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s at %s: %w: %s", path, machines[i], err, out)
	}
	if !strings.Contains(string(out), want) {
		return fmt.Errorf("%s at %s: %s: want %q in it", path, machines[i], out, want)
	}
	return nil
}
