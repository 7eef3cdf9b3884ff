package postgres_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"meridian/postgres/pgtest"
	"meridian/test/bench/peer"
)

const pgbouncerConf = `[databases]
conduit = host=%s port=5432 user=conduit
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
auth_type = any
pool_mode = session
max_client_conn = 200
default_pool_size = 70
server_idle_timeout = 1
ignore_startup_parameters = extra_float_digits
unix_socket_dir =
`

const pgpoolConf = `listen_addresses = '127.0.0.1'
port = %[2]d
unix_socket_directories = 'DIR'
pcp_socket_dir = 'DIR'
pcp_listen_addresses = ''
pid_file_name = 'DIR/pid'
logdir = 'DIR'
backend_clustering_mode = 'raw'
backend_hostname0 = '%[1]s'
backend_port0 = 5432
num_init_children = 70
max_pool = 1
process_management_mode = static
load_balance_mode = off
connection_cache = off
enable_pool_hba = off
`

// BenchmarkSideBySide runs pgbench -S once by each way, mode and number of
// clients, in an order that mixes the ways, and prints a table. BENCH_SECONDS
// is how long each run takes; default 5. BENCH_ONLY is a pattern of the runs that
// are made, as in "meridian.* prepared 64$".
func BenchmarkSideBySide(b *testing.B) {
	main, err := pgtest.Start("conduit")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { main.Stop() })
	replica, err := main.Standby("replica")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { replica.Stop() })
	if out, err := pgbench(b, "-i", "-q", "-s", "10", local(main)); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	ways := everyWay(b, main, replica)
	for b.Loop() {
		fmt.Printf("| %-22s | %-8s | %2s | %8s | %8s | %10s |\n|---|---|---|---|---|---|\n", "way", "mode", "c", "tps", "p50", "CPU per tx")
		for _, mode := range []string{"prepared", "simple"} {
			for _, clients := range []int{1, 8, 64} {
				for _, w := range ways {
					if only := os.Getenv("BENCH_ONLY"); !regexp.MustCompile(only).MatchString(fmt.Sprintf("%s %s %d", w.name, mode, clients)) {
						continue
					}
					drained(b, main)
					w.run(b, mode, clients)
				}
			}
		}
	}
}

func everyWay(b *testing.B, main, replica *pgtest.Server) []way {
	proxied := func(addr string) string { return "postgres://conduit:secret@" + addr + "/conduit?sslmode=disable" }
	ways := []way{{name: "direct (Unix socket)", dsn: local(main)}}
	addr, _, pid := again(b, "relay", main, "")
	ways = append(ways, way{"Go relay, io.Copy", proxied(addr), pid})
	addr, _, pid = again(b, "loop", main, "")
	ways = append(ways, way{"Go relay, read/write", proxied(addr), pid})
	addr, _, pid = again(b, "fibers", main, "")
	ways = append(ways, way{"Go relay, fibers", proxied(addr), pid})
	addr, peers, pid := again(b, string(primary), main, "")
	ways = append(ways, way{"meridian, primary", proxied(addr), pid})
	noloop, _, nopid := again(b, "noloop", main, "")
	ways = append(ways, way{"meridian, Go's poller", proxied(noloop), nopid})
	addr, _, pid = again(b, string(secondary), replica, peers)
	ways = append(ways, way{"meridian, secondary", proxied(addr), pid})
	if peer.Programs() == "" {
		return ways
	}
	for _, f := range []struct{ program, config string }{{"pgbouncer", pgbouncerConf}, {"pgpool", pgpoolConf}} {
		port := peer.FreePort(b)
		args := map[string][]string{"pgbouncer": {"FILE"}, "pgpool": {"-n", "-f", "FILE"}}[f.program]
		pid := peer.Start(b, f.program, fmt.Sprintf(f.config, filepath.Dir(main.Dir), port), nil, args...)
		peer.Listening(b, port)
		ways = append(ways, way{f.program, proxied(fmt.Sprintf("127.0.0.1:%d", port)), pid})
	}
	return ways
}

func local(s *pgtest.Server) string {
	return "host=" + filepath.Dir(s.Dir) + " port=5432 user=conduit dbname=conduit"
}

func pgbench(b *testing.B, args ...string) (string, error) {
	program, err := pgtest.Binary("pgbench")
	if err != nil {
		b.Fatal(err)
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	return string(out), err
}

var (
	perSecond = regexp.MustCompile(`tps = ([0-9.]+)`)
	processed = regexp.MustCompile(`actually processed: (\d+)`)
)

// drained waits until the connections of the run before are gone, of which
// pools keep some for a while.
func drained(b *testing.B, s *pgtest.Server) {
	deadline, tick := time.After(20*time.Second), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for s.Exec("conduit", "SELECT 1 / (count(*) < 45)::int FROM pg_stat_activity WHERE usename = 'conduit'") != nil {
		select {
		case <-deadline:
			b.Fatal("connections stay")
		case <-tick.C:
		}
	}
}

// run measures one way and prints its line.
func (w way) run(b *testing.B, mode string, clients int) {
	seconds := os.Getenv("BENCH_SECONDS")
	if seconds == "" {
		seconds = "5"
	}
	prefix := filepath.Join(b.TempDir(), "log")
	before := peer.CPU(w.pid)
	out, err := pgbench(b, "-S", "-n", "-M", mode, "-c", strconv.Itoa(clients), "-j", "1", "-T", seconds, "-l", "--log-prefix="+prefix, w.dsn)
	used := peer.CPU(w.pid) - before
	tps, n := perSecond.FindStringSubmatch(out), processed.FindStringSubmatch(out)
	if err != nil || tps == nil || n == nil {
		b.Errorf("%s, %s, %d clients: %v\n%s", w.name, mode, clients, err, out)
		return
	}
	rate, _ := strconv.ParseFloat(tps[1], 64)
	count, _ := strconv.Atoi(n[1])
	between := "-"
	if w.pid != 0 {
		between = (used / time.Duration(max(count, 1))).Round(100 * time.Nanosecond).String()
	}
	fmt.Printf("| %-22s | %-8s | %2d | %8.0f | %8s | %10s |\n", w.name, mode, clients, rate, median(b, prefix), between)
}

// median returns the median latency of pgbench's logs.
func median(b *testing.B, prefix string) time.Duration {
	files, err := filepath.Glob(prefix + "*")
	if err != nil {
		b.Fatal(err)
	}
	var all []int
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if fields := strings.Fields(s.Text()); len(fields) > 2 {
				us, _ := strconv.Atoi(fields[2])
				all = append(all, us)
			}
		}
		f.Close()
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return time.Duration(all[len(all)/2]) * time.Microsecond
}
