package config

import (
	"path/filepath"
	"strings"
)

// A folder is that of the file: what paths in it are relative to.
type folder string

func (dir folder) abs(paths ...*string) {
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(string(dir), *p)
		}
	}
}

// paths makes every path absolute.
func (f *File) paths(dir folder) {
	dir.abs(&f.API, &f.PKI, &f.Geo)
	each(f.Secrets, func(s *Secret) { dir.abs(&s.File) })
	each(f.Authorizers, func(a *Authorizer) { dir.abs(&a.Keys) })
	for i := range f.Functions {
		fn := &f.Functions[i]
		dir.abs(&fn.Go, &fn.Binary, &fn.Zip)
		each(fn.Env, func(v *Value) { dir.abs(&v.File) })
	}
	dir.edge(f)
	for i := range f.Certificates {
		c := &f.Certificates[i]
		dir.abs(&c.Cert, &c.Key)
		if c.ACME != nil {
			dir.abs(&c.ACME.CA)
		}
	}
	if f.Database != nil {
		dir.database(f.Database)
	}
}

// edge makes the paths absolute of what edges alone have.
func (dir folder) edge(f *File) {
	if l := f.AccessLog; l != nil && l.To != "stdout" {
		dir.abs(&l.To)
	}
	if c := f.TLS.Clients; c != nil {
		dir.abs(&c.CA, &c.CRL)
	}
	each(f.TrustedKeys, func(path *string) { dir.abs(path) })
	each(f.Origins, func(o *Origin) {
		dir.abs(&o.CA)
		each(o.Headers, func(v *Value) { dir.abs(&v.File) })
	})
	each(f.KeyValueStores, func(s *KeyValueStore) { dir.abs(&s.File) })
	each(f.EdgeFunctions, func(e *EdgeFunction) { dir.abs(&e.Code) })
	for i := range f.DynamicOrigins.Sign {
		dir.abs(&f.DynamicOrigins.Sign[i].Credentials)
	}
}

func (dir folder) database(d *Database) {
	dir.abs(&d.Migrations, &d.Password)
	each(d.Servers, func(s *Server) { dir.abs(&s.DSN) })
	if b := d.Backup; b != nil {
		dir.abs(&b.Credentials)
		if !strings.HasPrefix(b.To, "s3://") {
			dir.abs(&b.To)
		}
	}
}

// each changes the values of a map in place.
func each[K comparable, V any](all map[K]V, change func(*V)) {
	for k, v := range all {
		change(&v)
		all[k] = v
	}
}
