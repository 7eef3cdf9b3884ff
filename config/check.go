package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
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
	top := position{line: 1, column: 1}
	if f.Domain == "" {
		d.missing(top, "domain", "a hostname such as api.example.test")
	} else if !hostname.MatchString(f.Domain) || len(f.Domain) > 200 {
		d.fail(position{key: "domain"}, fmt.Sprintf("found %q", f.Domain), "a hostname in lower case such as api.example.test")
	}
	d.checkRegions(f)
	d.checkEdges(f)
	d.checkWitness(f)
	if f.Shield != "" && !slices.Contains(f.Edges, f.Shield) {
		d.fail(position{key: "shield"}, fmt.Sprintf("no edge stands in %q", f.Shield), "a place of edges:, "+list(f.Edges))
	}
	if f.API == "" {
		d.missing(top, "api", "the path of an OpenAPI file")
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
	for _, c := range f.Clients {
		if _, ok := f.Place(c.Place); !ok {
			d.fail(c.pos, fmt.Sprintf("found %q", c.Place), "a region of this file, or an AWS region code")
		}
	}
	d.checkNodes(f)
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

// Place returns where a region or an edge of the file is.
func (f *File) Place(name meridian.Region) (wan.Place, bool) {
	for _, r := range f.Regions {
		if r.Name == name && r.Lat != nil && r.Lon != nil {
			return wan.Place{Code: string(name), City: string(name), Lat: *r.Lat, Lon: *r.Lon}, true
		}
	}
	return wan.Lookup(string(name))
}

func (d *decoder) checkFunction(f *File, fn Function) {
	sources := 0
	for _, s := range []string{fn.Go, fn.Binary, fn.Zip} {
		if s != "" {
			sources++
		}
	}
	if !simple.MatchString(fn.Name) {
		d.fail(fn.pos, fmt.Sprintf("found %q", fn.Name), "a name of lower-case letters, digits, hyphens and underscores")
	}
	switch {
	case sources == 1 || d.broken(fn.pos.key):
	case sources == 0:
		d.fail(fn.pos, "no source", "one of go, binary or zip")
	default:
		d.fail(fn.pos, fmt.Sprintf("%d sources", sources), "one of go, binary or zip")
	}
	d.exists(d.at(fn.pos, "go"), fn.Go, "a folder with a Go main package", true)
	d.exists(d.at(fn.pos, "binary"), fn.Binary, "an executable", false)
	d.exists(d.at(fn.pos, "zip"), fn.Zip, "a zip file", false)
	if fn.Timeout <= 0 || fn.Timeout > 15*time.Minute {
		d.fail(d.at(fn.pos, "timeout"), fmt.Sprintf("timeout is %v", fn.Timeout), "a duration up to 15m")
	}
	if fn.Concurrency < 1 || fn.Concurrency > 1600 {
		d.fail(d.at(fn.pos, "concurrency"), fmt.Sprintf("concurrency is %d", fn.Concurrency), "a number from 1 to 1600")
	}
	if fn.Min < 0 || fn.Max < 1 || fn.Min > fn.Max {
		d.fail(d.at(fn.pos, "min", "max"), fmt.Sprintf("min is %d, max is %d", fn.Min, fn.Max), "0 ≤ min ≤ max, and max at least 1")
	}
	if fn.Memory < 16<<20 {
		d.fail(d.at(fn.pos, "memory"), "memory is "+fn.Memory.String(), "at least 16MiB")
	}
	for _, name := range sorted(fn.Env) {
		d.checkEnv(f, name, fn.Env[name])
	}
}

// reserved are the variables that the Lambda runtime sets itself; one that
// ends in _ stands for all that begin so. With a database, its own come on top.
var (
	reserved         = []string{"AWS_LAMBDA_", "AWS_REGION", "AWS_DEFAULT_REGION", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_EXECUTION_ENV"}
	reservedDatabase = []string{"DATABASE_URL", "DATABASE_URL_", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE"}
)

func (d *decoder) checkEnv(f *File, name string, v Value) {
	p := d.names[v.pos.key]
	taken := func(r string) bool { return name == r || strings.HasSuffix(r, "_") && strings.HasPrefix(name, r) }
	switch {
	case !envName.MatchString(name):
		d.fail(p, fmt.Sprintf("the variable %q", name), "letters, digits and underscores, a letter first")
	case slices.ContainsFunc(reserved, taken):
		d.fail(p, fmt.Sprintf("the variable %q", name), "another name: the Lambda runtime sets this one itself")
	case f.Database != nil && slices.ContainsFunc(reservedDatabase, taken):
		d.fail(p, fmt.Sprintf("the variable %q", name), "another name: it leads to the database, and is set with it")
	}
	d.exists(v.pos, v.File, "a file", false)
	if _, ok := f.Secrets[v.Secret]; v.Secret != "" && !ok {
		d.fail(v.pos, fmt.Sprintf("no secret is named %q", v.Secret), "a name under secrets:")
	}
}

func (d *decoder) checkSecret(name string, s Secret) {
	switch {
	case !simple.MatchString(name):
		d.fail(d.names[s.pos.key], fmt.Sprintf("found %q", name), "a name of lower-case letters, digits, hyphens and underscores")
	case d.broken(s.pos.key) || d.broken(s.pos.key+".generate"):
	case (s.File == "") == (s.Generate == 0):
		d.fail(s.pos, foundOf("file", s.File != "", "generate"), "one of them")
	case s.File == "" && (s.Generate < 16 || s.Generate > 1024):
		d.fail(d.at(s.pos, "generate"), fmt.Sprintf("generate is %d", s.Generate), "a number of bytes from 16 to 1024")
	}
	d.exists(d.at(s.pos, "file"), s.File, "a file", false)
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

func (d *decoder) checkDatabase(f *File, db Database) {
	if db.Name == "" {
		d.missing(db.pos, "name", "a lower-case name such as conduit")
	} else if !dbName.MatchString(db.Name) || db.Name == "meridian" || strings.HasPrefix(db.Name, "pg_") {
		d.fail(d.at(db.pos, "name"), fmt.Sprintf("name is %q", db.Name), "a lower-case name such as conduit; meridian and pg_* are taken")
	}
	d.exists(d.at(db.pos, "migrations"), db.Migrations, "a folder of .sql files", true)
	d.exists(d.at(db.pos, "password"), db.Password, "a file with a password", false)
	if _, err := meridian.ParseConsistency(db.Consistency); err != nil {
		d.fail(d.at(db.pos, "consistency"), fmt.Sprintf("consistency is %q", db.Consistency), meridian.Levels)
	}
	if _, err := meridian.ParseUnreachable(db.OnUnreachable); err != nil {
		d.fail(d.at(db.pos, "onUnreachable"), fmt.Sprintf("onUnreachable is %q", db.OnUnreachable), "error or stale")
	}
	if l := db.Failover.MaxLoss; l <= 0 || l > time.Hour {
		d.fail(d.at(db.pos, "failover.maxLoss"), fmt.Sprintf("maxLoss is %v", l), "a duration up to 1h such as 10s")
	}
	if db.Pooling != "session" && db.Pooling != "transaction" {
		d.fail(d.at(db.pos, "pooling"), fmt.Sprintf("pooling is %q", db.Pooling), "session or transaction")
	}
	for _, f := range db.LocalFunctions {
		if f == "" || strings.ContainsAny(f, ".() ") {
			d.fail(d.at(db.pos, "localFunctions"), fmt.Sprintf("localFunctions names %q", f), "names of functions as PostgreSQL keeps them, without a schema or parentheses")
		}
	}
	if db.Backup != nil {
		d.checkBackup(*db.Backup)
	}
	d.checkServers(f, db)
	if db.MaxConnections < 20 || db.MaxConnections > 10_000 {
		d.fail(d.at(db.pos, "maxConnections"), fmt.Sprintf("maxConnections is %d", db.MaxConnections), "a number from 20 to 10000")
	} else if db.Connections < 4 || db.Connections > db.MaxConnections-10 {
		d.fail(d.at(db.pos, "connections"), fmt.Sprintf("connections is %d with maxConnections %d", db.Connections, db.MaxConnections), "at least 4, and 10 less than maxConnections")
	}
}

// checkDurability refuses what the regions of the file cannot give, and what
// would stop all writes for good.
func (d *decoder) checkDurability(f *File, p position, what meridian.Durability) {
	if len(f.Regions) == 0 || f.Primary() == "" {
		return // said already, and nothing can be said of the standbys
	}
	if err := CheckDurability(what, f.Primary(), f.names(), func(r meridian.Region) time.Duration { return f.predicted(f.Primary(), r) }); err != nil {
		d.fail(p, "durability is "+what.String(), err.Error())
	}
}

// CheckDurability says what is expected instead of d where primary is the
// primary's region, or nil: d can be kept there. rtt returns the round trip
// from the primary to another region, 0 if that is not known.
func CheckDurability(d meridian.Durability, primary meridian.Region, regions []meridian.Region, rtt func(meridian.Region) time.Duration) error {
	others := slices.DeleteFunc(slices.Clone(regions), func(r meridian.Region) bool { return r == primary })
	if d == (meridian.Durability{}) {
		return nil
	}
	if len(others) == 0 {
		return errors.New("async: there is one region, and nobody else to confirm a commit")
	}
	if d.Sync != "" && !slices.Contains(others, d.Sync) {
		return fmt.Errorf("a region of this world that is not the primary's, %s", list(others))
	}
	if d.RPO == 0 {
		return nil
	}
	nearest := slices.MinFunc(others, func(a, b meridian.Region) int { return cmp.Compare(rtt(a), rtt(b)) })
	if least := rtt(nearest) * 3 / 2; d.RPO < least {
		const unit = 100 * time.Microsecond
		return fmt.Errorf("at least %v: 1.5 round trips of %v to %s, the nearest of the others; a standby that is well would stop the writes below", (least + unit - 1).Truncate(unit), rtt(nearest).Round(unit), nearest)
	}
	return nil
}

func list(regions []meridian.Region) string {
	var names []string
	for _, r := range regions {
		names = append(names, string(r))
	}
	return strings.Join(names, " or ")
}

func (f *File) names() (out []meridian.Region) {
	for _, r := range f.Regions {
		out = append(out, r.Name)
	}
	return out
}

// predicted returns the round trip between two places that the matrix or the
// distance predicts, 0 if one is not known.
func (f *File) predicted(a, b meridian.Region) time.Duration {
	from, ok1 := f.Place(a)
	to, ok2 := f.Place(b)
	if !ok1 || !ok2 {
		return 0
	}
	p50, _ := wan.RTT(from, to)
	return p50
}

// checkServers wants a server for every region: a standby of Meridian's cannot
// follow a primary that it may not ask for replication.
func (d *decoder) checkServers(f *File, db Database) {
	if len(db.Servers) == 0 {
		return
	}
	p := d.at(db.pos, "servers")
	for _, name := range sorted(db.Servers) {
		s := db.Servers[name]
		if !slices.ContainsFunc(f.Regions, func(r Region) bool { return string(r.Name) == name }) {
			d.fail(d.names[s.pos.key], fmt.Sprintf("found %q", name), "a region of this file")
		}
		d.needs(s.pos, "dsn", s.DSN, "a file with a DSN")
	}
	for _, r := range f.Regions {
		if _, ok := db.Servers[string(r.Name)]; !ok {
			d.fail(p, fmt.Sprintf("no server for %s", r.Name), "one for every region, or none")
		}
	}
}

// bucket is s3:// with the name of a bucket, and maybe a prefix.
var bucket = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]*)?$`)

func (d *decoder) checkBackup(b Backup) {
	remote := strings.HasPrefix(b.To, "s3://")
	switch {
	case b.To == "":
		d.missing(b.pos, "to", "a folder such as ./backups, or s3://bucket/prefix")
	case remote && !bucket.MatchString(b.To), !remote && strings.Contains(b.To, ":/"):
		d.fail(d.at(b.pos, "to"), fmt.Sprintf("to is %q", b.To), "a folder such as ./backups, or s3://bucket/prefix")
	case !remote && b.Endpoint != "":
		d.fail(d.at(b.pos, "endpoint"), "an endpoint, and a folder to write to", "to: s3://bucket/prefix with it")
	case !remote && b.Credentials != "":
		d.fail(d.at(b.pos, "credentials"), "credentials, and a folder to write to", "to: s3://bucket/prefix with them")
	}
	if u, err := url.Parse(b.Endpoint); b.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/") {
		d.fail(d.at(b.pos, "endpoint"), fmt.Sprintf("endpoint is %q", b.Endpoint), "a URL such as https://s3.example.test")
	}
	d.exists(d.at(b.pos, "credentials"), b.Credentials, "a file as ~/.aws/credentials is", false)
	if b.Every < time.Minute {
		d.fail(d.at(b.pos, "every"), fmt.Sprintf("every is %v", b.Every), "a duration from 1m, such as 24h")
	}
	if b.Keep < 1 {
		d.fail(d.at(b.pos, "keep"), fmt.Sprintf("keep is %d", b.Keep), "a number from 1")
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
	if path == "" {
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
