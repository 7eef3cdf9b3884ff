package server

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"meridian"
	"meridian/config"
	"meridian/postgres/failover"
)

// rosterKey is the key of the store that holds the roster.
const rosterKey = "switch/roster"

// A roster says which regions and nodes the world has, once one has joined or
// left while it ran. It stands over the files that it was made from: a node that
// is started with one of those goes by the roster, and one with a file that says
// something else goes by its file.
type roster struct {
	Over    []string                  `json:"over"` // digests of files
	Regions []config.Region           `json:"regions"`
	Edges   []meridian.Region         `json:"edges"`
	Nodes   []config.Node             `json:"nodes"`
	Clients []config.Clients          `json:"clients,omitempty"`
	Phases  map[meridian.Region]phase `json:"phases,omitempty"` // of regions that do not count
	Gone    []string                  `json:"gone,omitempty"`   // nodes that left
	Left    []meridian.Region         `json:"left,omitempty"`   // regions that left
}

// A phase is what keeps a region from counting.
type phase string

const (
	joining phase = "joining" // it is known, and copies the database
	leaving phase = "leaving" // it gets no new work, and nothing waits for it
)

// rosterOf returns what a file says. Start tells the starts of an up world
// apart, whose file always is the newest word; it is "" in production.
func rosterOf(f *config.File, start string) roster {
	r := roster{Regions: f.Regions, Edges: f.Edges, Nodes: f.Nodes, Clients: f.Clients}
	r.Over = []string{r.digest(start)}
	return r
}

// digest names what a roster says of regions and nodes, in whatever order.
func (r roster) digest(start string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s %s %s", start,
		sorted(r.Regions, func(x config.Region) string { return string(x.Name) }), sorted(r.Edges, func(x meridian.Region) string { return string(x) }),
		sorted(r.Nodes, func(x config.Node) string { return x.Name }), sorted(r.Clients, func(x config.Clients) string { return string(x.Place) })))
	return hex.EncodeToString(sum[:8])
}

// sorted returns a list as JSON, by name: [] also for one that is not there.
func sorted[T any](all []T, name func(T) string) []byte {
	all = append([]T{}, all...)
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	return mustJSON(all)
}

// over reports whether r stands over what a file says.
func (r roster) over(file roster) bool { return slices.Contains(r.Over, file.Over[0]) }

// in returns a file as the roster has it.
func (r roster) in(f *config.File) *config.File {
	out := *f
	out.Regions, out.Edges, out.Nodes, out.Clients = r.Regions, r.Edges, r.Nodes, r.Clients
	return &out
}

// counted returns the regions that count: those that neither join nor leave.
func (r roster) counted() (out []meridian.Region) {
	for _, x := range r.Regions {
		if r.Phases[x.Name] == "" {
			out = append(out, x.Name)
		}
	}
	return out
}

func (r roster) has(region meridian.Region) bool {
	return slices.ContainsFunc(r.Regions, func(x config.Region) bool { return x.Name == region })
}

// at returns the nodes at a place that leave with its region: all of them.
func (r roster) at(place meridian.Region) (out []config.Node) {
	for _, n := range r.Nodes {
		if n.Region == place && (n.Has(config.RoleRegion) || n.Has(config.RoleEdge) || n.Has(config.RoleStandby)) {
			out = append(out, n)
		}
	}
	return out
}

// moves returns the region that joins or leaves now, if one does.
func (r roster) moves() (meridian.Region, phase) {
	for region, p := range r.Phases {
		return region, p
	}
	return "", ""
}

// become returns r with a region in another phase.
func (r roster) become(region meridian.Region, p phase) roster {
	phases := map[meridian.Region]phase{}
	for name, x := range r.Phases {
		phases[name] = x
	}
	if delete(phases, region); p != "" {
		phases[region] = p
	}
	r.Phases = phases
	return r
}

// names lists regions, for people.
func names[T ~string](all []T) string {
	var out []string
	for _, x := range all {
		out = append(out, string(x))
	}
	return strings.Join(out, ", ")
}

func refusal(kind meridian.Kind, format string, args ...any) error {
	return meridian.WithKind(kind, fmt.Errorf(format, args...))
}

// A wish is a region that an operator wants to join, as a file has it.
type wish struct {
	Region  meridian.Region
	File    roster            // what the file says
	Outline map[string]string // of the file; see config.Outline
}

// join returns the roster in which the region of w joins, or why it may not. A
// wish that is under way already is no mistake.
func (r roster) join(w wish, outline map[string]string, start string) (roster, error) {
	busy, p := r.moves()
	switch {
	case w.Region == busy && p == joining:
		return r, nil
	case r.has(w.Region) && r.Phases[w.Region] == "":
		return r, refusal(meridian.Invalid, "%s is a region of this world already", w.Region)
	case !w.File.has(w.Region):
		return r, refusal(meridian.NotFound, "the file has no region %q; expected one beside %s", w.Region, names(regionsIn(r)))
	case busy != "":
		return r, refusal(meridian.Unavailable, "%s is %s; expected one region at a time: ask again when that is done", busy, p)
	}
	for key, said := range w.Outline {
		if outline[key] != said {
			return r, refusal(meridian.Invalid, "%s differs from what this world runs on; expected a file that adds %s and changes nothing else", key, w.Region)
		}
	}
	for _, x := range w.File.Regions {
		if x.Name != w.Region && !r.has(x.Name) {
			return r, refusal(meridian.Invalid, "the file has the region %s too; expected one region at a time: %s beside %s", x.Name, w.Region, names(regionsIn(r)))
		}
	}
	for _, x := range r.Regions {
		if !w.File.has(x.Name) {
			return r, refusal(meridian.Invalid, "the file lacks the region %s; `meridian region remove %s` takes it out", x.Name, x.Name)
		}
	}
	return r.grown(w, start)
}

// grown returns r with the region of w and its nodes, joining.
func (r roster) grown(w wish, start string) (roster, error) {
	out := r.become(w.Region, joining)
	out.Left = without(r.Left, w.Region)
	for _, x := range w.File.Regions {
		if x.Name == w.Region {
			x.Primary = false // it is that of the first start
			out.Regions = append(slices.Clone(r.Regions), x)
		}
	}
	if slices.Contains(w.File.Edges, w.Region) && !slices.Contains(r.Edges, w.Region) {
		out.Edges = append(slices.Clone(r.Edges), w.Region)
	}
	for _, c := range w.File.Clients {
		if c.Place == w.Region && !slices.ContainsFunc(r.Clients, func(k config.Clients) bool { return k.Place == c.Place }) {
			out.Clients = append(slices.Clone(out.Clients), c)
		}
	}
	serves := false
	out.Nodes = slices.Clone(r.Nodes)
	for _, n := range w.File.at(w.Region) {
		if have, ok := nodeNamed(r.Nodes, n.Name); ok && have.Region == n.Region && slices.Equal(have.Roles, n.Roles) {
			continue // an edge that stands there already
		}
		for _, o := range r.Nodes {
			if o.Name == n.Name || o.Backbone == n.Backbone {
				return r, refusal(meridian.Invalid, "node %s at %s: %s at %s is there already; expected a name and an address of its own", n.Name, n.Backbone, o.Name, o.Backbone)
			}
		}
		serves = serves || n.Has(config.RoleRegion)
		out.Nodes, out.Gone = append(out.Nodes, n), without(out.Gone, n.Name)
	}
	if !serves {
		return r, refusal(meridian.Invalid, "no new node of the file has the role region in %s; expected one", w.Region)
	}
	out.Over = append(slices.Clone(r.Over), out.digest(start), w.File.digest(start)) // what the nodes that come have
	return out, nil
}

// A standing is what leave and next go by, beside the roster.
type standing struct {
	database bool
	record   failover.Record
	asked    meridian.Durability // by an operator, last; where nobody asked, the record's
	moving   meridian.Region     // to where the primary is being moved
	self     string              // the node that is asked

	ready   bool   // all nodes of the region that joins are up
	streams bool   // its standby replays what the primary writes
	why     string // the reason for either
	drained bool   // the region that leaves has had no new work for long enough
	votes   bool   // and is a member of the store still
}

// leave returns the roster in which a region leaves, or why it may not.
func (r roster) leave(region meridian.Region, s standing) (roster, error) {
	busy, p := r.moves()
	promise := s.record.Promise
	named := func(d meridian.Durability) bool { return d.Sync == region }
	switch {
	case !r.has(region):
		return r, refusal(meridian.NotFound, "there is no region %q; expected one of %s", region, names(regionsIn(r)))
	case busy == region && p == leaving:
		return r, nil
	case busy != "" && busy != region:
		return r, refusal(meridian.Unavailable, "%s is %s; expected one region at a time: ask again when that is done", busy, p)
	case len(r.Regions) == 1:
		return r, refusal(meridian.Invalid, "%s is the last region; `meridian down` ends an up world", region)
	case s.database && s.record.Region == "":
		return r, refusal(meridian.Unavailable, "no region holds the writes yet; ask again when one does")
	case s.database && (s.record.Region == region || s.moving == region):
		return r, refusal(meridian.Invalid, "%s is the primary; `meridian switchover` to another region first", region)
	case s.database && (named(promise.Now) || promise.Next != nil && named(*promise.Next) || named(s.asked)):
		return r, refusal(meridian.Invalid, "durability sync: %s waits for it; `meridian durability` without it first", region)
	}
	for _, n := range r.at(region) {
		if n.Name == s.self {
			return r, refusal(meridian.Invalid, "%s is of this region itself; ask a control node elsewhere", n.Name)
		}
	}
	for role, what := range map[config.Role]string{config.RoleEdge: "edge", config.RoleControl: "control node"} {
		left := func(n config.Node) bool { return n.Has(role) && !slices.ContainsFunc(r.at(region), sameNode(n)) }
		if slices.ContainsFunc(r.Nodes, func(n config.Node) bool { return n.Has(role) }) && !slices.ContainsFunc(r.Nodes, left) {
			return r, refusal(meridian.Invalid, "the last %s would leave with %s; expected another one elsewhere", what, region)
		}
	}
	return r.become(region, leaving), nil
}

// next returns the roster that follows, if something is due, and says why it is
// or what it waits for.
func (r roster) next(s standing, start string) (out roster, due bool, why string) {
	region, p := r.moves()
	promise := s.record.Promise
	counts := slices.Contains(promise.Of.Regions(nil), region)
	switch {
	case p == joining && !s.ready:
		return r, false, fmt.Sprintf("%s joins, and is not up: %s", region, s.why)
	case p == joining && s.database && !s.streams:
		return r, false, fmt.Sprintf("%s joins, and does not follow the primary yet", region)
	case p == joining:
		return r.become(region, ""), true, fmt.Sprintf("%s is up, and follows the primary", region)
	case p != leaving:
		return r, false, "no region joins or leaves"
	case s.database && s.record.Region == region:
		return r.become(region, ""), true, fmt.Sprintf("%s became the primary while it left: it stays", region)
	case s.database && (counts || promise.Next != nil):
		return r, false, fmt.Sprintf("%s leaves, and commits still count on it: %s", region, promise)
	case !s.drained:
		return r, false, fmt.Sprintf("%s leaves, and ends what it has begun", region)
	case s.votes:
		return r, false, fmt.Sprintf("%s leaves, and votes on the store still", region)
	}
	return r.shrunk(region, s, start), true, fmt.Sprintf("%s has nothing left to do", region)
}

// shrunk returns r without a region and its nodes.
func (r roster) shrunk(region meridian.Region, s standing, start string) roster {
	leave := r.at(region)
	out := r.become(region, "")
	out.Regions, out.Nodes, out.Edges, out.Gone, out.Left = nil, nil, nil, slices.Clone(r.Gone), append(slices.Clone(r.Left), region)
	for _, x := range r.Regions {
		if x.Name != region {
			out.Regions = append(out.Regions, x)
		}
	}
	if !slices.ContainsFunc(out.Regions, func(x config.Region) bool { return x.Primary }) {
		for i, x := range out.Regions { // a file names one
			out.Regions[i].Primary = x.Name == s.record.Region || s.record.Region == "" && i == 0
		}
	}
	for _, n := range r.Nodes {
		if slices.ContainsFunc(leave, sameNode(n)) {
			out.Gone = append(out.Gone, n.Name)
			continue
		}
		out.Nodes = append(out.Nodes, n)
	}
	out.Edges = without(r.Edges, region)
	out.Over = append(slices.Clone(r.Over), out.digest(start))
	return out
}

func regionsIn(r roster) (out []meridian.Region) {
	for _, x := range r.Regions {
		out = append(out, x.Name)
	}
	return out
}

func nodeNamed(all []config.Node, name string) (config.Node, bool) {
	for _, n := range all {
		if n.Name == name {
			return n, true
		}
	}
	return config.Node{}, false
}

func sameNode(n config.Node) func(config.Node) bool {
	return func(o config.Node) bool { return o.Name == n.Name }
}

func without[T comparable](all []T, gone T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return x == gone })
}
