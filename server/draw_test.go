package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"meridian"
	"meridian/config"
	"meridian/postgres/failover"
	"meridian/topology"
)

// threeRegions is the file that the scripts are about.
const threeRegions = `
domain: api.example.test
regions: {us-east-1: {primary: true}, eu-west-1: {}}
edges: [us-east-1, eu-west-1, sa-east-1]
api: openapi.yaml
database: {name: hello}
nodes:
  - {name: control, region: us-east-1, address: 10.0.0.1, roles: [control]}
  - {name: us-east-1, region: us-east-1, address: 10.0.1.1, roles: [region]}
  - {name: us-east-1/edge, region: us-east-1, address: 10.0.1.2, roles: [edge]}
  - {name: eu-west-1, region: eu-west-1, address: 10.0.2.1, roles: [region, edge]}
  - {name: sa-east-1/edge, region: sa-east-1, address: 10.0.3.1, roles: [edge], ports: {https: 443}}
clients:
  us-east-1: [198.18.1.0/24]
  sa-east-1: [198.18.4.0/24, 203.0.113.0/25]
`

func parse(t *testing.T, text string) *config.File {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Parse("meridian.yaml", dir, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestDraw runs the scripts in testdata/draw. A line of a script is one thing
// that the node holds:
//
//	NODE alive|silent [ready] [returns] [lag=MS] [postgres=DOES] [because...]
//	measured FROM TO RTT
//	store primary REGION TERM
//	drained REGION
//	no database
func TestDraw(t *testing.T) {
	datadriven.Walk(t, "testdata/draw", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			v := view{file: parse(t, threeRegions), desired: desired{primary: map[string]failover.Record{}, drained: map[meridian.Region]drainRecord{}}, verdicts: map[string]verdict{}}
			for line := range strings.Lines(d.Input) {
				hold(t, &v, strings.Fields(line))
			}
			s := draw(v)
			switch d.Cmd {
			case "regions":
				return showRegions(s)
			case "edges":
				return showEdges(s)
			case "links":
				return showLinks(s)
			case "status":
				return showStatus(v, s)
			}
			t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			return ""
		})
	})
}

func hold(t *testing.T, v *view, words []string) {
	t.Helper()
	switch words[0] {
	case "measured":
		rtt, err := time.ParseDuration(words[3])
		if err != nil {
			t.Fatal(err)
		}
		v.rtts = append(v.rtts, topology.Link{From: meridian.Region(words[1]), To: meridian.Region(words[2]), RTT: rtt, Measured: true})
	case "store":
		term, err := strconv.ParseUint(words[3], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		v.desired.primary["hello"] = failover.Record{Region: meridian.Region(words[2]), Term: term}
	case "drained":
		v.desired.drained[meridian.Region(words[1])] = drainRecord{}
	case "no":
		v.file.Database = nil
	default:
		v.verdicts[words[0]] = judged(words[1], words[2:])
	}
}

func judged(state string, words []string) verdict {
	d := verdict{alive: state == "alive", facts: map[string]string{}}
	var why []string
	for _, w := range words {
		lag, isLag := strings.CutPrefix(w, "lag=")
		doing, isDoing := strings.CutPrefix(w, "postgres=")
		switch {
		case w == "ready":
			d.facts[factReady] = "1"
		case w == "returns":
			d.returns = true
		case isDoing:
			d.facts[factPG] = doing
		case isLag:
			d.facts[factLag] = lag
		default:
			why = append(why, w)
		}
	}
	d.why = strings.Join(why, " ")
	return d
}

func showRegions(s *topology.Snapshot) string {
	var b strings.Builder
	for _, r := range s.Regions {
		state := fmt.Sprintf("healthy %t, drained %t", r.Healthy, r.Drained)
		if r.Returns {
			state += ", returns"
		}
		fmt.Fprintf(&b, "%s: %s: %s\n", r.Name, state, r.Why)
		lag := r.ReplayLag.String()
		if r.ReplayLag < 0 {
			lag = "unknown"
		}
		fmt.Fprintf(&b, "  primary %t, term %d, lag %s, gateway %s\n", r.Primary, r.Term, lag, r.Gateway)
	}
	fmt.Fprint(&b, "serving:")
	for _, r := range s.Serving() {
		fmt.Fprint(&b, " ", r.Name)
	}
	return b.String() + "\n"
}

func showEdges(s *topology.Snapshot) string {
	var b strings.Builder
	for _, e := range s.Edges {
		fmt.Fprintf(&b, "%s: healthy %t: %s; %s %s\n", e.Name, e.Healthy, e.Why, e.HTTPS, e.HTTP)
	}
	fmt.Fprint(&b, "doors:")
	for _, e := range s.Doors() {
		fmt.Fprint(&b, " ", e.Name)
	}
	return b.String() + "\n"
}

func showLinks(s *topology.Snapshot) string {
	var b strings.Builder
	for _, l := range s.Links {
		fmt.Fprintf(&b, "%s - %s: %v, measured %t\n", l.From, l.To, l.RTT, l.Measured)
	}
	return b.String()
}

func showStatus(v view, s *topology.Snapshot) string {
	var b strings.Builder
	st := status(v, s, "p@ss/word")
	fmt.Fprintf(&b, "%s, dns %v, console %s\n", st.Domain, st.DNS, st.Console)
	for _, r := range st.Regions {
		fmt.Fprintf(&b, "%s: lag %d, %s, %s\n", r.Name, r.ReplayLag, r.Gateway, r.Postgres)
	}
	for _, e := range st.Edges {
		fmt.Fprintf(&b, "%s: serves %s, clients %v, %s, %s\n", e.Name, e.Serves, e.Clients, e.HTTPS, e.HTTP)
	}
	for _, n := range st.Nodes {
		fmt.Fprintf(&b, "%s %v: alive %t: %s\n", n.Name, n.Roles, n.Alive, n.Why)
	}
	return b.String()
}
