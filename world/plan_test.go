package world

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"meridian"
	"meridian/config"
)

// TestPlan runs the scripts in testdata/plan: a world's file, and who listens
// where when it is up in block 66. Paths below the state folder are written
// STATE/...
func TestPlan(t *testing.T) {
	datadriven.Walk(t, "testdata/plan", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			f := parse(t, d.Input)
			p := Plan(*f, 66, "STATE")
			var b strings.Builder
			switch d.Cmd {
			case "nodes":
				for _, n := range p.Nodes {
					fmt.Fprintf(&b, "%s in %s, %v at %s, backbone %s\n", n.Name, n.Region, n.Roles, n.Address, n.Backbone)
				}
			case "listeners":
				for _, n := range p.Nodes {
					fmt.Fprintf(&b, "%s: %v\n", n.Name, Listeners(n))
				}
			case "clients":
				for _, c := range p.Clients {
					fmt.Fprintf(&b, "%s: %v\n", c.Place, c.Prefixes)
				}
			case "names":
				fmt.Fprintln(&b, strings.Join(Names(&p), "\n"))
			case "folders":
				fmt.Fprintln(&b, p.PKI)
				for _, n := range p.Nodes {
					fmt.Fprintln(&b, FolderOf(n.Name))
				}
			default:
				t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			}
			return b.String()
		})
	})
}

// TestAPlanIsAGoodProductionFile is what makes `up` no special case: what it
// derives is written, and read again by the same loader.
func TestAPlanIsAGoodProductionFile(t *testing.T) {
	f := parse(t, "regions: {us-east-1: {primary: true}, eu-west-1: {}, basel: {lat: 47.6, lon: 7.6}}\nedges: [us-east-1, basel, sa-east-1]\n")
	p := Plan(*f, 66, t.TempDir())
	b, err := config.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse("world.yaml", t.TempDir(), b)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if len(again.Nodes) != len(p.Nodes) || len(again.Clients) != len(p.Clients) {
		t.Errorf("%d nodes and %d clients became %d and %d", len(p.Nodes), len(p.Clients), len(again.Nodes), len(again.Clients))
	}
}

// TestNoTwoNodesListenAtOneAddress holds for every number of places.
func TestNoTwoNodesListenAtOneAddress(t *testing.T) {
	f := config.File{Regions: []config.Region{{Name: "r1", Primary: true}}}
	for n := 1; n <= maxPlaces; n++ {
		f.Edges = append(f.Edges, meridian.Region(fmt.Sprint("r", n)))
	}
	taken := map[string]string{}
	p := Plan(f, 66, "STATE")
	for _, n := range p.Nodes {
		for _, a := range Listeners(n) {
			if other := taken[a.String()]; other != "" {
				t.Fatalf("%s and %s both listen at %s", other, n.Name, a)
			}
			taken[a.String()] = n.Name
		}
	}
	if len(p.Nodes) != maxPlaces+2 {
		t.Errorf("%d nodes", len(p.Nodes))
	}
}
