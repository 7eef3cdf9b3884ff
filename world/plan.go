package world

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"meridian"
	"meridian/config"
)

// ControlNode is the node that answers DNS, the admin API and the console.
const ControlNode = "control"

// WitnessNode is the node that votes at a place without a region.
const WitnessNode = "witness"

// EdgeNode names the node of an edge at a place where a region may stand too.
func EdgeNode(place meridian.Region) string { return string(place) + "/edge" }

// StandbyNode names the node of the nth further standby of a region.
func StandbyNode(region meridian.Region, n int) string {
	return fmt.Sprintf("%s/standby-%d", region, n)
}

// firstStandby is the last byte of the backbone's address of the first of them.
const firstStandby = 11

// standbys returns the nodes of a region's further standbys, at place n.
func standbys(r config.Region, block, n int) (out []config.Node) {
	for i := range r.Standbys {
		out = append(out, node(StandbyNode(r.Name, i+1), r.Name, block, n, firstStandby+i, config.RoleStandby))
	}
	return out
}

// FolderOf returns the name of a node's folder below the state folder.
func FolderOf(node string) string { return strings.ReplaceAll(node, "/", "+") }

// Places returns every place of f, regions first, each once. Place N of the
// design is the Nth of them, counted from 1.
func Places(f *config.File) (out []meridian.Region) {
	seen := map[meridian.Region]bool{}
	add := func(r meridian.Region) {
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	for _, r := range f.Regions {
		add(r.Name)
	}
	for _, e := range f.Edges {
		add(e)
	}
	if f.Witness != "" {
		add(f.Witness)
	}
	return out
}

// Plan derives the production file of an up world: a node for each region and
// each edge, one for control and one for the witness, addresses in 127.block.0.0/16, the places of
// clients, and the files below state. It is a pure function.
func Plan(f config.File, block int, state string) config.File {
	f.Nodes, f.Clients = nil, nil
	f.PKI = filepath.Join(state, "pki")
	regions := map[meridian.Region]config.Region{}
	for _, r := range f.Regions {
		regions[r.Name] = r
	}
	f.Nodes = append(f.Nodes, node(ControlNode, f.Primary(), block, 0, 1, config.RoleControl))
	for i, place := range Places(&f) {
		n := i + 1
		if r, ok := regions[place]; ok {
			f.Nodes = append(f.Nodes, node(string(place), place, block, n, 1, config.RoleRegion))
			f.Nodes = append(f.Nodes, standbys(r, block, n)...)
		}
		for _, e := range f.Edges {
			if e == place {
				f.Nodes = append(f.Nodes, node(EdgeNode(place), place, block, n, 2, config.RoleEdge))
			}
		}
		if place == f.Witness {
			f.Nodes = append(f.Nodes, node(WitnessNode, place, block, n, 1, config.RoleWitness))
		}
		f.Clients = append(f.Clients, config.Clients{Place: place, Prefixes: []netip.Prefix{ClientsOf(n)}})
	}
	return f
}

// ClientsOf returns the network of the clients of place n.
func ClientsOf(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(n), 0}), 24)
}

// node returns a node at place n. All listen on 127.block.n.1 for the world
// outside; a region and an edge of one place differ in their backbone address.
func node(name string, place meridian.Region, block, n, host int, role config.Role) config.Node {
	ip := func(host int) netip.Addr { return netip.AddrFrom4([4]byte{127, byte(block), byte(n), byte(host)}) }
	return config.Node{
		Name: name, Region: place, Address: ip(1), Backbone: netip.AddrPortFrom(ip(host), 7443),
		Roles: []config.Role{role}, Ports: config.DefaultPorts(),
	}
}

// Listeners returns the TCP addresses on which a node of f listens.
func Listeners(n config.Node) (out []netip.AddrPort) {
	add := func(port uint16) { out = append(out, netip.AddrPortFrom(n.Address, port)) }
	out = append(out, n.Backbone)
	if n.Has(config.RoleRegion) {
		add(n.Ports.Gateway)
		add(n.Ports.Postgres)
	}
	if n.Has(config.RoleEdge) {
		add(n.Ports.HTTPS)
		add(n.Ports.HTTP)
	}
	if n.Has(config.RoleControl) {
		add(n.Ports.DNS)
		add(n.Ports.Admin)
	}
	return out
}

// Names returns the host names that the world's server certificate covers.
func Names(f *config.File) []string {
	names := []string{f.Domain, "*." + f.Domain, "origin." + f.Domain}
	for _, r := range f.Regions {
		names = append(names, fmt.Sprintf("%s.origin.%s", r.Name, f.Domain))
	}
	return names
}
