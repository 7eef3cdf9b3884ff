package server

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"meridian"
	"meridian/config"
	"meridian/postgres/failover"
	"meridian/store"
)

// TestRoster runs the scripts in testdata/roster. A script says what there is,
// one thing a line:
//
//	regions R...           the regions of the world, with a node each
//	edges R...             the places of its edges, each a node "R/edge"
//	control R              the place of its only control node, "control"
//	one R                  R's node is region and edge in one
//	phase R PHASE          R joins or leaves
//	file R...              the regions of the operator's file, with a node each
//	file-edges R...        its edges
//	differs KEY            what else the file changes
//	clash                  the newcomer's node has the first region's address
//	primary R              who holds the record; of R...: among whom commits count
//	durability D           of the record; asked D: by an operator, since
//	becoming               the record's promise is on its way
//	moving R, self N
//	up, streams, drained, votes   of the region that joins or leaves
func TestRoster(t *testing.T) {
	datadriven.Walk(t, "testdata/roster", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			p := &play{t: t, s: standing{database: true, why: "no answer"}, outline: map[string]string{"database": "one", "domain": "one"}, theirs: map[string]string{"database": "one", "domain": "one"}}
			for line := range strings.Lines(d.Input) {
				p.read(strings.Fields(line))
			}
			p.r.Over = []string{p.r.digest("")}
			region := meridian.Region("")
			if len(d.CmdArgs) > 0 {
				region = meridian.Region(d.CmdArgs[0].Key)
			}
			switch d.Cmd {
			case "join":
				out, err := p.r.join(wish{region, p.file, p.theirs}, p.outline, "")
				return showRoster(out, err)
			case "leave":
				out, err := p.r.leave(region, p.s)
				return showRoster(out, err)
			case "next":
				out, due, why := p.r.next(p.s, "")
				if !due {
					return "wait: " + why + "\n"
				}
				return why + "\n" + showRoster(out, nil)
			}
			t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			return ""
		})
	})
}

type play struct {
	t               *testing.T
	r, file         roster
	s               standing
	outline, theirs map[string]string
}

func (p *play) read(words []string) {
	p.t.Helper()
	rest := words[1:]
	durability := func() meridian.Durability {
		d, err := meridian.ParseDurability(strings.Join(rest, " "))
		if err != nil {
			p.t.Fatal(err)
		}
		return d
	}
	switch words[0] {
	case "regions":
		p.r = inhabited(rest)
	case "edges":
		p.r.settle(rest)
	case "control":
		p.r.Nodes = append(p.r.Nodes, config.Node{Name: "control", Region: meridian.Region(rest[0]), Roles: []config.Role{config.RoleControl}})
	case "one":
		for i, n := range p.r.Nodes {
			if n.Name == rest[0] {
				p.r.Nodes[i].Roles = []config.Role{config.RoleRegion, config.RoleEdge, config.RoleControl}
			}
		}
	case "phase":
		p.r = p.r.become(meridian.Region(rest[0]), phase(rest[1]))
	case "file":
		p.file = inhabited(rest)
	case "file-edges":
		p.file.settle(rest)
	case "differs":
		p.theirs[rest[0]] = "another"
	case "clash":
		p.file.Nodes[len(p.file.Nodes)-1].Backbone = p.r.Nodes[0].Backbone
	case "primary":
		p.s.record.Region = meridian.Region(rest[0])
	case "of":
		p.s.record.Promise.Of = failover.Among(strings.Join(rest, ","))
	case "durability":
		p.s.record.Promise.Now = durability()
	case "asked":
		p.s.asked = durability()
	case "becoming":
		p.s.record.Promise.Next = &p.s.record.Promise.Now
	case "moving":
		p.s.moving = meridian.Region(rest[0])
	case "votes":
		p.s.votes = true
	case "self":
		p.s.self = rest[0]
	case "up":
		p.s.ready = true
	case "streams":
		p.s.streams = true
	case "drained":
		p.s.drained = true
	default:
		p.t.Fatalf("cannot read %q", words)
	}
}

// inhabited returns regions with a node each.
func inhabited(names []string) (r roster) {
	for i, name := range names {
		r.Regions = append(r.Regions, config.Region{Name: meridian.Region(name), Primary: i == 0})
		at := netip.AddrFrom4([4]byte{10, 0, name[0], name[1]})
		r.Nodes = append(r.Nodes, config.Node{Name: name, Region: meridian.Region(name), Address: at, Backbone: netip.AddrPortFrom(at, 7443), Roles: []config.Role{config.RoleRegion}})
	}
	return r
}

func (r *roster) settle(places []string) {
	for _, name := range places {
		r.Edges = append(r.Edges, meridian.Region(name))
		at := netip.AddrFrom4([4]byte{10, 1, name[0], name[1]})
		r.Nodes = append(r.Nodes, config.Node{Name: name + "/edge", Region: meridian.Region(name), Address: at, Backbone: netip.AddrPortFrom(at, 7443), Roles: []config.Role{config.RoleEdge}})
	}
}

func showRoster(r roster, err error) string {
	if err != nil {
		return fmt.Sprintf("%s: %v\n", meridian.KindOf(err), err)
	}
	var b strings.Builder
	for _, x := range r.Regions {
		fmt.Fprintf(&b, "%s", x.Name)
		if x.Primary {
			b.WriteString(" first")
		}
		if p := r.Phases[x.Name]; p != "" {
			fmt.Fprintf(&b, " %s", p)
		}
		b.WriteString("\n")
	}
	var nodes []string
	for _, n := range r.Nodes {
		nodes = append(nodes, n.Name)
	}
	fmt.Fprintf(&b, "nodes %s\ncounted %s\n", strings.Join(nodes, " "), names(r.counted()))
	if len(r.Gone) > 0 {
		fmt.Fprintf(&b, "gone %s; left %s\n", strings.Join(r.Gone, " "), names(r.Left))
	}
	return b.String()
}

// TestARosterStandsOverTheFilesItWasMadeFrom: a node with the file of before or
// of after goes by the roster; one whose file says something else, or one of the
// next start of an up world, goes by that. Control: with nothing in the store
// each goes by its file.
func TestARosterStandsOverTheFilesItWasMadeFrom(t *testing.T) {
	three, four := inhabited([]string{"us-east-1", "eu-west-1", "ap-south-1"}), inhabited([]string{"us-east-1", "eu-west-1", "ap-south-1", "sa-east-1"})
	other := inhabited([]string{"us-east-1", "ca-central-1"})
	file := func(r roster, start string) roster { r.Over = []string{r.digest(start)}; return r }
	base := file(three, "one")
	turned := four
	turned.Regions = slices.Clone(four.Regions)
	slices.Reverse(turned.Regions)
	joined, err := base.join(wish{"sa-east-1", four, nil}, nil, "one")
	if err != nil {
		t.Fatal(err)
	}
	joined = joined.become("sa-east-1", "")
	shrunk := joined.shrunk("sa-east-1", standing{}, "one")
	view := func(r roster) kept { return kept{rosterKey: mustJSON(r)} }
	for name, c := range map[string]struct {
		v    kept
		file roster
		want []meridian.Region
	}{
		"the file of before":               {view(joined), base, regionsIn(four)},
		"the file of after":                {view(joined), file(four, "one"), regionsIn(four)},
		"in another order":                 {view(joined), file(turned, "one"), regionsIn(four)},
		"a file that still has who left":   {view(shrunk), file(four, "one"), regionsIn(three)},
		"another file":                     {view(joined), file(other, "one"), regionsIn(other)},
		"the next start of an up world":    {view(joined), file(three, "two"), regionsIn(three)},
		"control: nothing is in the store": {nil, base, regionsIn(three)},
	} {
		got, _ := rosterIn(c.v, c.file, nil)
		if !slices.Equal(regionsIn(got), c.want) {
			t.Errorf("%s: %v, want %v", name, regionsIn(got), c.want)
		}
	}
	var read roster
	if err := json.Unmarshal(mustJSON(joined), &read); err != nil || read.digest("one") != joined.digest("one") {
		t.Errorf("a roster has another digest once it was stored: %v", err)
	}
}

// kept is what a store holds, for rosterIn.
type kept map[string][]byte

func (k kept) Get(key string) (store.Entry, bool) {
	b, ok := k[key]
	return store.Entry{Key: key, Value: b, Rev: 1}, ok
}
