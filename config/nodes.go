package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"meridian"
)

// nodeName is what certificates, folders and logs can bear.
var nodeName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*$`)

// backbonePort is the usual one.
const backbonePort = 7443

func (d *decoder) checkNodes(f *File) {
	if len(f.Nodes) == 0 {
		return
	}
	names, backbones := map[string]bool{}, map[netip.AddrPort]string{}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		d.checkName(*n, names)
		d.checkAddress(n, backbones)
		d.checkRoles(f, *n)
	}
	d.checkServed(f)
}

func (d *decoder) checkName(n Node, taken map[string]bool) {
	switch {
	case n.Name == "":
		d.missing(n.pos, "name", "a name such as eu-west-1 or eu-west-1/edge")
	case !nodeName.MatchString(n.Name) || len(n.Name) > 100:
		d.fail(d.at(n.pos, "name"), "found "+short(n.Name), "a name of lower-case letters, digits, hyphens and slashes")
	case taken[n.Name]:
		d.fail(d.at(n.pos, "name"), fmt.Sprintf("%q stands twice", n.Name), "a name that no other node has")
	}
	taken[n.Name] = true
}

func (d *decoder) checkAddress(n *Node, taken map[netip.AddrPort]string) {
	if !n.Address.IsValid() {
		d.missing(n.pos, "address", "the IP address on which the node listens")
		return
	}
	if !n.Backbone.IsValid() {
		n.Backbone = netip.AddrPortFrom(n.Address, backbonePort)
	}
	if other, ok := taken[n.Backbone]; ok {
		d.fail(d.at(n.pos, "backbone", "address"), fmt.Sprintf("the backbone of %s is %s too", other, n.Backbone), "an address and port of its own")
	}
	taken[n.Backbone] = n.Name
}

func (d *decoder) checkRoles(f *File, n Node) {
	if len(n.Roles) == 0 {
		d.missing(n.pos, "roles", "some of region, edge, control, witness; or standby")
	}
	for i, r := range n.Roles {
		if !slices.Contains([]Role{RoleRegion, RoleEdge, RoleControl, RoleWitness, RoleStandby}, r) {
			d.fail(d.at(n.pos, fmt.Sprintf("roles[%d]", i)), "found "+short(string(r)), "region, edge, control, witness or standby")
		}
	}
	if n.Has(RoleStandby) {
		d.checkStandby(f, n)
	}
	isRegion := slices.ContainsFunc(f.Regions, func(r Region) bool { return r.Name == n.Region })
	_, isPlace := f.Place(n.Region)
	switch p := d.at(n.pos, "region"); {
	case n.Region == "":
		d.missing(n.pos, "region", "the place where the node stands")
	case (n.Has(RoleRegion) || n.Has(RoleStandby)) && !isRegion:
		d.fail(p, fmt.Sprintf("%q is not under regions", n.Region), "a region of this file")
	case n.Has(RoleEdge) && !slices.Contains(f.Edges, n.Region):
		d.fail(p, fmt.Sprintf("%q is not under edges", n.Region), "an edge of this file")
	case n.Has(RoleWitness) && n.Region != f.Witness:
		d.fail(p, fmt.Sprintf("%q is not the witness", n.Region), "the place that witness: names")
	case !isPlace:
		d.fail(p, "found "+short(string(n.Region)), "a region of this file, or an AWS region code")
	}
}

// maxStandbys is how many further standbys a region may have: each takes a slot
// and a sender of its PostgreSQL.
const maxStandbys = 8

// slotName is what PostgreSQL keeps of a node's name.
func slotName(node string) string { return strings.NewReplacer("/", "_", "-", "_").Replace(node) }

func (d *decoder) checkStandby(f *File, n Node) {
	p := d.at(n.pos, "roles")
	switch {
	case len(n.Roles) > 1:
		d.fail(p, "standby beside another role", "a node of its own for a standby")
	case f.Database == nil:
		d.fail(p, "a standby without a database", "database:, or no such node")
	case len(n.Name) > 62:
		d.fail(d.at(n.pos, "name"), fmt.Sprintf("a name of %d characters", len(n.Name)), "at most 62 for a standby: a replication slot bears it")
	}
	for _, o := range f.Nodes {
		if o.Has(RoleStandby) && o.Name < n.Name && slotName(o.Name) == slotName(n.Name) {
			d.fail(d.at(n.pos, "name"), fmt.Sprintf("%q is %q to PostgreSQL, as %q is", n.Name, slotName(n.Name), o.Name), "a name that differs in a letter or a digit")
		}
	}
}

// checkServed finds regions and edges that no node serves, or two do.
func (d *decoder) checkServed(f *File) {
	serving := func(role Role, place meridian.Region) (n int) {
		for _, node := range f.Nodes {
			if node.Has(role) && node.Region == place {
				n++
			}
		}
		return n
	}
	p := position{f.Nodes[0].pos.line, f.Nodes[0].pos.column, "nodes"}
	for _, r := range f.Regions {
		if n := serving(RoleRegion, r.Name); n != 1 {
			d.fail(p, fmt.Sprintf("%d nodes with the role region in %s", n, r.Name), "one")
		}
		switch n := serving(RoleStandby, r.Name); {
		case r.Standbys > 0 && r.Standbys <= maxStandbys && n != r.Standbys:
			d.fail(d.at(r.pos, "standbys"), fmt.Sprintf("standbys is %d, and %d nodes have the role standby in %s", r.Standbys, n, r.Name), "as many nodes; or leave it out, beside nodes:")
		case n > maxStandbys:
			d.fail(p, fmt.Sprintf("%d nodes with the role standby in %s", n, r.Name), fmt.Sprintf("at most %d", maxStandbys))
		}
	}
	if n := serving(RoleWitness, f.Witness); f.Witness != "" && n != 1 {
		d.fail(p, fmt.Sprintf("%d nodes with the role witness in %s", n, f.Witness), "one")
	}
	for _, e := range f.Edges {
		if n := serving(RoleEdge, e); n != 1 {
			d.fail(p, fmt.Sprintf("%d nodes with the role edge in %s", n, e), "one")
		}
	}
}
