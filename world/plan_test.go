package world

import (
	"fmt"
	"slices"
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

// TestARunningWorldGrowsWithoutMovingAnybody: who is there keeps the address; a
// region that joins gets the next place, or that of the edge which stands there.
func TestARunningWorldGrowsWithoutMovingAnybody(t *testing.T) {
	f := config.File{Domain: "api.example.test", Regions: []config.Region{{Name: "us-east-1", Primary: true}, {Name: "eu-west-1"}}, Edges: []meridian.Region{"us-east-1", "sa-east-1"}}
	plan := Plan(f, 12, "/state")
	for region, want := range map[meridian.Region][]string{
		"sa-east-1":      {"sa-east-1 127.12.3.1 127.12.3.1:7443 [region]"},
		"ap-southeast-1": {"ap-southeast-1 127.12.4.1 127.12.4.1:7443 [region]", "ap-southeast-1/edge 127.12.4.1 127.12.4.2:7443 [edge]"},
	} {
		grown := f
		grown.Regions = append(slices.Clone(f.Regions), config.Region{Name: region})
		grown.Edges = append(slices.Clone(f.Edges), "ap-southeast-1")
		got, err := Grow(plan, grown, region)
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range plan.Nodes {
			if got.Nodes[i].Backbone != n.Backbone || got.Nodes[i].Address != n.Address {
				t.Errorf("%s moved from %s to %s", n.Name, n.Backbone, got.Nodes[i].Backbone)
			}
		}
		var came []string
		for _, n := range got.Nodes[len(plan.Nodes):] {
			came = append(came, fmt.Sprint(n.Name, " ", n.Address, " ", n.Backbone, " ", n.Roles))
		}
		if !slices.Equal(came, want) {
			t.Errorf("with %s came %q, want %q", region, came, want)
		}
	}
}
