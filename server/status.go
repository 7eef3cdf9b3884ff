package server

import (
	"fmt"
	"net/netip"
	"net/url"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/topology"
)

// status returns what operators and programs see of the world. It is a pure
// function of the map, the verdicts behind it, and the config.
func status(v view, s *topology.Snapshot, password string) client.Status {
	out := client.Status{Domain: s.Domain, Regions: []client.Region{}, Edges: []client.Edge{}, Nodes: []client.Node{}, DNS: []string{}}
	for _, n := range v.file.Nodes {
		if n.Has(config.RoleControl) {
			out.DNS = append(out.DNS, netip.AddrPortFrom(n.Address, n.Ports.DNS).String())
			out.Console = "http://" + netip.AddrPortFrom(n.Address, n.Ports.Admin).String()
		}
		out.Nodes = append(out.Nodes, v.node(n))
	}
	if v.file.Database != nil {
		p := v.primary().Promise
		out.Durability = &client.Durability{Now: p.Now.String()}
		if p.Next != nil {
			out.Durability.Next = p.Next.String()
		}
	}
	for _, r := range s.Regions {
		out.Regions = append(out.Regions, client.Region{
			Name: string(r.Name), Primary: r.Primary, Healthy: r.Healthy, Drained: r.Drained, Phase: string(v.phases[r.Name]), Why: r.Why,
			ReplayLag: lagMillis(r), Standbys: standbysIn(r), Gateway: "https://" + r.Gateway.String(), Postgres: v.dsn(r, password),
		})
	}
	out.Backup = v.keeping(s)
	if b := out.Backup; b != nil && b.Error != "" {
		out.Notes = append(out.Notes, "backups fail: "+b.Error)
	}
	for _, e := range s.Edges {
		out.Edges = append(out.Edges, client.Edge{
			Name: string(e.Name), Healthy: e.Healthy, Why: e.Why, HTTPS: e.HTTPS.String(), HTTP: e.HTTP.String(),
			Clients: clientsOf(s, e.Name), Serves: string(nearest(s, e.Name)),
		})
	}
	return out
}

func (v view) node(n config.Node) client.Node {
	alive, why := v.health(n.Name)
	out := client.Node{Name: n.Name, Alive: alive, Why: why}
	for _, r := range n.Roles {
		out.Roles = append(out.Roles, string(r))
	}
	return out
}

func standbysIn(r topology.Region) (out []client.Standby) {
	for _, s := range r.Standbys {
		lag := int64(-1)
		if s.Healthy && s.ReplayLag >= 0 {
			lag = s.ReplayLag.Milliseconds()
		}
		out = append(out, client.Standby{Node: s.Node, Healthy: s.Healthy, Why: s.Why, ReplayLag: lag})
	}
	return out
}

// lagMillis is -1 for what nobody knows: a region that is down has told its lag
// before, and no longer.
func lagMillis(r topology.Region) int64 {
	if r.ReplayLag < 0 || !r.Healthy && !r.Primary {
		return -1
	}
	return r.ReplayLag.Milliseconds()
}

// dsn returns the URL of a region's database proxy, or "" without a database.
func (v view) dsn(r topology.Region, password string) string {
	db := v.file.Database
	n, err := nodeOf(v.file, config.RoleRegion, r.Name)
	if db == nil || err != nil {
		return ""
	}
	return fmt.Sprintf("postgres://%s@%s/%s", url.UserPassword(db.Name, password), netip.AddrPortFrom(n.Address, n.Ports.Postgres), db.Name)
}

func clientsOf(s *topology.Snapshot, place meridian.Region) []string {
	out := []string{}
	for _, c := range s.Clients {
		if c.Place == place {
			out = append(out, c.Prefix.String())
		}
	}
	return out
}
