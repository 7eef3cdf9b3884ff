// Package geo says where an address is, by a file in MaxMind's format.
//
// The file is read whole, checked, and then used; a newer one takes its place
// without a restart, and one that is broken never does. What a database does not
// have is left out: country files have a country, city files more.
package geo

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// A Place is what a database has of an address. The fields are those of
// MaxMind's GeoIP2, and the flat ones of the files of ip-location-db.
type Place struct {
	Country struct {
		Code  string `maxminddb:"iso_code"`
		Names names  `maxminddb:"names"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		Code  string `maxminddb:"iso_code"`
		Names names  `maxminddb:"names"`
	} `maxminddb:"subdivisions"`
	City struct {
		Names names `maxminddb:"names"`
	} `maxminddb:"city"`
	Postal struct {
		Code string `maxminddb:"code"`
	} `maxminddb:"postal"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
		Zone      string   `maxminddb:"time_zone"`
		Metro     uint16   `maxminddb:"metro_code"`
	} `maxminddb:"location"`
	ASN uint32 `maxminddb:"autonomous_system_number"`

	Flat string `maxminddb:"country_code"`
}

type names struct {
	English string `maxminddb:"en"`
}

// Code returns the country's code (ISO 3166-1), or "".
func (p *Place) Code() string {
	if p.Country.Code != "" {
		return p.Country.Code
	}
	return p.Flat
}

// A Database finds places, by the newest good file.
type Database struct {
	path string
	log  *slog.Logger
	now  atomic.Pointer[reading]
}

// A reading is one content of the file.
type reading struct {
	db   *maxminddb.Reader
	text []byte
}

// Open reads the file at path, and fails if it is broken.
func Open(path string, log *slog.Logger) (*Database, error) {
	d := &Database{path: path, log: log}
	r, err := read(path)
	if err != nil {
		return nil, err
	}
	d.now.Store(r)
	return d, nil
}

func read(path string) (*reading, error) {
	text, err := os.ReadFile(path) // and not mapped: who writes over it would end this process
	if err != nil {
		return nil, err
	}
	db, err := maxminddb.OpenBytes(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; expected a database in MaxMind's format", path, err)
	}
	if err := whole(db); err != nil {
		return nil, fmt.Errorf("%s: %w; expected a database that is whole", path, err)
	}
	return &reading{db, text}, nil
}

// whole reads all that a database has. The library's own Verify asks for a
// description as well, which good databases lack.
func whole(db *maxminddb.Reader) error {
	seen := map[uintptr]bool{} // many networks share a place
	for r := range db.Networks() {
		if err := r.Err(); err != nil {
			return err
		}
		var p Place
		if seen[r.Offset()] {
			continue
		}
		if err := r.Decode(&p); err != nil {
			return err
		}
		seen[r.Offset()] = true
	}
	return nil
}

// Find returns the place of an address, and whether the database knows it.
func (d *Database) Find(a netip.Addr) (p Place, ok bool) {
	if !a.IsValid() {
		return p, false
	}
	r := d.now.Load().db.Lookup(a)
	if !r.Found() || r.Decode(&p) != nil {
		return Place{}, false
	}
	return p, true
}

// every is how often Run looks for a newer file.
const every = 10 * time.Second

// Run takes a newer file while there is one, until ctx is canceled.
func (d *Database) Run(ctx context.Context, ready func()) error {
	ready()
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen := stamp(d.path)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s := stamp(d.path); s != seen {
			seen = s
			d.renew()
		}
	}
}

// stamp tells one file from the next.
func stamp(path string) string {
	st, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(st.Size(), st.ModTime())
}

// renew reads the file again, and keeps what there is if it is broken.
func (d *Database) renew() {
	r, err := read(d.path)
	switch {
	case err != nil:
		d.log.Error("a geo database was not taken: the one before stays", "error", err)
	case !bytes.Equal(r.text, d.now.Load().text):
		d.now.Store(r)
		d.log.Info("a new geo database", "path", d.path, "kind", r.db.Metadata.DatabaseType, "built", r.db.Metadata.BuildTime())
	}
}
