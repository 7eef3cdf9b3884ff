package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/internal/wan"
)

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
