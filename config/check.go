package config

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"time"

	"meridian"
	"meridian/internal/wan"
)

var (
	hostname = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	simple   = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	dbName   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)
	envName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
)

// check finds what no single value shows: what is missing, what contradicts.
func (d *decoder) check(f *File) {
	d.checkDomain(f.Domain)
	d.checkRegions(f)
	d.checkEdges(f)
	d.checkWitness(f)
	d.checkShield(f)
	d.checkAPI(f)
	d.checkCertificates(f.Certificates)
	d.checkTLS(f.TLS)
	if f.Database != nil {
		d.checkDatabase(f, *f.Database)
		d.checkIdempotency(f.Database.Idempotency)
		d.checkDurability(f, d.at(f.Database.pos, "durability"), f.Database.Durability)
	}
	if f.DNS.TTL < time.Second || f.DNS.TTL > time.Hour {
		d.fail(position{key: "dns.ttl"}, fmt.Sprintf("found %v", f.DNS.TTL), "a duration from 1s to 1h")
	}
	d.checkLimits(f.Limits)
	d.checkProtocols(f)
	if !f.Tokens.Cookie && !f.Tokens.Header {
		d.fail(position{key: "tokens"}, "neither a cookie nor a header", "one of the two at least")
	}
	d.checkBehaviors(f)
	d.checkProxyProtocol(f)
	d.checkEdgeFunctions(f)
	d.checkPlaces(f)
	d.checkNodes(f)
}

func (d *decoder) checkDomain(domain string) {
	if domain == "" {
		d.missing(position{line: 1, column: 1}, "domain", "a hostname such as api.example.test")
	} else if !hostname.MatchString(domain) || len(domain) > 200 {
		d.fail(position{key: "domain"}, fmt.Sprintf("found %q", domain), "a hostname in lower case such as api.example.test")
	}
}

// checkAPI checks the API, and what answers it and for whom.
func (d *decoder) checkAPI(f *File) {
	if f.API == "" {
		d.missing(position{line: 1, column: 1}, "api", "the path of an OpenAPI file")
	}
	d.exists(position{key: "api"}, f.API, "an OpenAPI file", false)
	for _, fn := range f.Functions {
		d.checkFunction(f, fn)
	}
	for _, name := range sorted(f.Secrets) {
		d.checkSecret(name, f.Secrets[name])
	}
	for _, name := range sorted(f.Authorizers) {
		d.checkAuthorizer(f.Authorizers[name])
	}
}

// checkPlaces checks where the file says that clients stand.
func (d *decoder) checkPlaces(f *File) {
	for _, c := range f.Clients {
		if _, ok := f.Place(c.Place); !ok {
			d.fail(c.pos, fmt.Sprintf("found %q", c.Place), "a region of this file, or an AWS region code")
		}
	}
}

func (d *decoder) checkLimits(l Limits) {
	if l.Header < 1<<10 || l.Header > 1<<20 {
		d.fail(position{key: "limits.header"}, fmt.Sprintf("header is %v", l.Header), "a size from 1KiB to 1MiB")
	}
	if l.Timeout <= 0 || l.Timeout > 15*time.Minute {
		d.fail(position{key: "limits.timeout"}, fmt.Sprintf("timeout is %v", l.Timeout), "a duration up to 15m")
	}
	if l.CacheDisk != 0 && (l.CacheDisk < 16<<20 || l.CacheDisk > 64<<40) {
		d.fail(position{key: "limits.cacheDisk"}, fmt.Sprintf("cacheDisk is %v", l.CacheDisk), "0, or a size from 16MiB to 64TiB")
	}
	if l.Cache < 1<<20 || l.Cache > 1<<40 {
		d.fail(position{key: "limits.cache"}, fmt.Sprintf("cache is %v", l.Cache), "a size from 1MiB to 1TiB")
	}
	if l.Hedges < 0 || l.Hedges > 10 {
		d.fail(position{key: "limits.hedges"}, fmt.Sprintf("hedges is %d", l.Hedges), "a number from 0 to 10")
	}
}

func (d *decoder) checkRegions(f *File) {
	if len(f.Regions) == 0 {
		d.missing(position{line: 1, column: 1}, "regions", "at least one region, such as us-east-1: {primary: true}")
		return
	}
	var primaries []string
	for _, r := range f.Regions {
		if r.Primary {
			primaries = append(primaries, string(r.Name))
		}
		_, known := wan.Lookup(string(r.Name))
		switch {
		case !simple.MatchString(string(r.Name)):
			d.fail(r.pos, fmt.Sprintf("found %q", r.Name), "a name of lower-case letters, digits and hyphens")
		case !known && (r.Lat == nil || r.Lon == nil):
			d.fail(r.pos, "no AWS region has this code", "a code such as eu-west-1, or lat: and lon: beside the name")
		case r.Lat != nil && (*r.Lat < -90 || *r.Lat > 90):
			d.fail(d.at(r.pos, "lat"), fmt.Sprintf("lat is %v", *r.Lat), "degrees between -90 and 90")
		case r.Lon != nil && (*r.Lon < -180 || *r.Lon > 180):
			d.fail(d.at(r.pos, "lon"), fmt.Sprintf("lon is %v", *r.Lon), "degrees between -180 and 180")
		}
		switch p := d.at(r.pos, "standbys"); {
		case r.Standbys < 0 || r.Standbys > maxStandbys:
			d.fail(p, fmt.Sprintf("standbys is %d", r.Standbys), fmt.Sprintf("a number from 0 to %d", maxStandbys))
		case r.Standbys > 0 && f.Database == nil && !d.broken("database"):
			d.fail(p, "standbys without a database", "database:, or no standbys")
		}
	}
	first := f.Regions[0].pos
	switch len(primaries) {
	case 1:
	case 0:
		if slices.ContainsFunc(f.Regions, func(r Region) bool { return d.broken(r.pos.key) || d.broken(r.pos.key+".primary") }) {
			return
		}
		d.fail(position{first.line, first.column, "regions"}, "no region is primary", "primary: true at exactly one")
	default:
		second := f.Regions[slices.IndexFunc(f.Regions, func(r Region) bool { return string(r.Name) == primaries[1] })].pos
		d.fail(second, "a second primary, beside "+primaries[0], "primary: true at exactly one region")
	}
}

// checkWitness wants a witness where no region is: there it would be lost with
// the region.
func (d *decoder) checkWitness(f *File) {
	p := position{key: "witness"}
	_, known := wan.Lookup(string(f.Witness))
	switch {
	case f.Witness == "":
	case slices.ContainsFunc(f.Regions, func(r Region) bool { return r.Name == f.Witness }):
		d.fail(p, fmt.Sprintf("%q is a region", f.Witness), "a third place, which is not lost together with a region")
	case !known:
		d.fail(p, fmt.Sprintf("found %q", f.Witness), "an AWS region code such as eu-west-2")
	}
}

func (d *decoder) checkEdges(f *File) {
	if len(f.Edges) == 0 {
		if p, given := d.where["edges"]; given {
			d.fail(p, "no places", "a place at least, or no edges:, which means every region")
		}
		for _, r := range f.Regions {
			f.Edges = append(f.Edges, r.Name)
		}
		return // what is wrong with a region is said there
	}
	seen := map[meridian.Region]bool{}
	for i, e := range f.Edges {
		p := position{key: fmt.Sprintf("edges[%d]", i)}
		if seen[e] {
			d.fail(p, fmt.Sprintf("%q stands twice", e), "each place once")
		}
		seen[e] = true
		if _, ok := f.Place(e); !ok {
			d.fail(p, fmt.Sprintf("found %q", e), "a region of this file, or an AWS region code")
		}
	}
}

// checkShield wants an edge there, of those that are nowhere wrong.
func (d *decoder) checkShield(f *File) {
	if f.Shield == "" || slices.Contains(f.Edges, f.Shield) {
		return
	}
	want := "the place of an edge"
	if known := slices.DeleteFunc(slices.Clone(f.Edges), func(e meridian.Region) bool { _, ok := f.Place(e); return !ok }); len(known) > 0 {
		want += ": " + list(known)
	}
	d.fail(position{key: "shield"}, fmt.Sprintf("no edge stands in %q", f.Shield), want)
}

// Place returns where a region or an edge of the file is.
func (f *File) Place(name meridian.Region) (wan.Place, bool) {
	for _, r := range f.Regions {
		if r.Name == name && r.Lat != nil && r.Lon != nil {
			return wan.Place{Code: string(name), City: string(name), Lat: *r.Lat, Lon: *r.Lon}, true
		}
	}
	return wan.Lookup(string(name))
}

func (d *decoder) checkAuthorizer(a Authorizer) {
	if a.Issuer == "" {
		d.missing(a.pos, "issuer", "the iss claim of its tokens")
	}
	d.needs(a.pos, "keys", a.Keys, "a file with PEM public keys, a JWKS, or a secret")
	for i, alg := range a.Algorithms {
		if !slices.Contains([]string{"RS256", "ES256", "EdDSA", "HS256"}, alg) {
			d.fail(d.at(a.pos, fmt.Sprintf("algorithms[%d]", i)), fmt.Sprintf("algorithm %q", alg), "RS256, ES256, EdDSA or HS256")
		}
	}
}

// sorted returns the names of m, so that mistakes come in the same order each
// time.
func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// needs checks that sub of p names a file.
func (d *decoder) needs(p position, sub, path, want string) {
	if path == "" {
		d.missing(p, sub, want)
		return
	}
	d.exists(d.at(p, sub), path, want, false)
}

// exists checks that a path, if given, is a file, or a folder if dir.
func (d *decoder) exists(p position, path, want string, dir bool) {
	if path == "" || d.elsewhere {
		return
	}
	st, err := os.Stat(path)
	switch {
	case err != nil:
		d.fail(p, fmt.Sprintf("%s does not exist", path), want)
	case st.IsDir() != dir:
		d.fail(p, fmt.Sprintf("%s is a %s", path, map[bool]string{true: "folder", false: "file"}[st.IsDir()]), want)
	}
}
