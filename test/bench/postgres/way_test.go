package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"meridian"
	fiber "meridian/internal/loop"
	"meridian/internal/relay"
	"meridian/postgres"
	"meridian/postgres/pgtest"
	"meridian/topology"
)

// The environment by which this program, run again, becomes a relay or a proxy:
// each is a process of its own, so that its CPU time can be told apart.
const (
	envRole   = "BENCH_ROLE" // relay, loop, fibers, noloop, or a region
	envSocket = "BENCH_SOCKET"
	envPeer   = "BENCH_PEER" // where the primary's proxy takes peers
)

const (
	primary   meridian.Region = "us-east-1"
	secondary meridian.Region = "eu-west-1"
)

func TestMain(m *testing.M) {
	switch role := os.Getenv(envRole); role {
	case "":
		os.Exit(m.Run())
	case "relay":
		child(func(ctx context.Context, dial func(context.Context) (net.Conn, error)) error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err == nil {
				fmt.Println(l.Addr(), "-")
				relay.Serve(ctx, l, dial, nil)
			}
			return err
		})
	case "loop":
		child(loop)
	case "fibers":
		child(fibers)
	case "noloop":
		child(func(ctx context.Context, dial func(context.Context) (net.Conn, error)) error {
			return runProxy(ctx, primary, dial, -1)
		})
	default:
		child(func(ctx context.Context, dial func(context.Context) (net.Conn, error)) error {
			return runProxy(ctx, meridian.Region(role), dial, 0)
		})
	}
}

// child runs until its parent ends it.
func child(run func(context.Context, func(context.Context) (net.Conn, error)) error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := run(ctx, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", os.Getenv(envSocket))
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// loop relays by reads and writes. io.Copy between sockets, with which package
// relay does it, splices: for small messages that is slower.
func loop(ctx context.Context, dial func(context.Context) (net.Conn, error)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	fmt.Println(l.Addr(), "-")
	pass := func(to, from net.Conn) {
		defer to.Close()
		for buf := make([]byte, 16<<10); ; {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			to.Write(buf[:n])
		}
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		to, err := dial(ctx)
		if err != nil {
			c.Close()
			continue
		}
		go pass(c, to) // they end with their client, or with the process
		go pass(to, c)
	}
}

// fibers is loop on an event loop of its own.
func fibers(ctx context.Context, dial func(context.Context) (net.Conn, error)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	g := fiber.New(1)
	defer context.AfterFunc(ctx, func() { l.Close() })()
	fmt.Println(l.Addr(), "-")
	pass := func(to, from net.Conn) {
		defer to.Close()
		for buf := make([]byte, 16<<10); ; {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			to.Write(buf[:n])
		}
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		to, err := dial(ctx)
		if err != nil {
			c.Close()
			continue
		}
		c = g.Adopt(c, nil)
		to = g.Adopt(to, c)
		g.Go(c, func() { pass(c, to) })
		g.Go(c, func() { pass(to, c) })
	}
}

func runProxy(ctx context.Context, region meridian.Region, dial func(context.Context) (net.Conn, error), loops int) error {
	var topo topology.Map
	topo.Publish(&topology.Snapshot{Regions: []topology.Region{{Name: primary, Primary: true, Healthy: true}, {Name: secondary, Healthy: true}}})
	deps := postgres.Deps{Local: dial, Map: &topo, Remote: func(ctx context.Context, _ meridian.Region) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", os.Getenv(envPeer))
	}}
	peers := "-"
	if region == primary {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		deps.Peers, peers = l, l.Addr().String()
	}
	p, err := postgres.New(postgres.Config{Region: region, Database: "conduit", Listen: "127.0.0.1:0", Loops: loops, Users: map[string]string{"conduit": "secret"}}, deps)
	if err != nil {
		return err
	}
	return p.Run(ctx, func() { fmt.Println(p.Addr(), peers) })
}

// A way is one way to PostgreSQL.
type way struct {
	name string
	dsn  string
	pid  int // of the process between; 0: there is none
}

// again runs this program as a relay or a proxy, and returns where it listens.
func again(b *testing.B, role string, server *pgtest.Server, peer string) (addr, peers string, pid int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"="+role, envSocket+"="+filepath.Join(filepath.Dir(server.Dir), ".s.PGSQL.5432"), envPeer+"="+peer)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatalf("%s: %v", role, err)
	}
	f := strings.Fields(line)
	return f[0], f[1], cmd.Process.Pid
}
