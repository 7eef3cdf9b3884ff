package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"meridian"
)

// maxFile bounds a file, in bytes.
const maxFile = 1 << 20

// Load reads and checks the file at path. Its error is an Errors with every
// mistake that was found, or says why the file could not be read.
func Load(path string) (*File, error) {
	b, err := read(path)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, Errors{{File: path, Found: "cannot be read: " + err.Error(), Expected: "a Meridian file; `meridian config` prints one to start from"}}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return Parse(path, filepath.Dir(abs), b)
}

// read returns at most one byte more than a file may have.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// Parse reads and checks b, the bytes of the file name; paths in it are
// relative to dir.
func Parse(name, dir string, b []byte) (*File, error) {
	return parse(&decoder{file: name}, dir, b)
}

// ParseElsewhere reads and checks b as Parse does, for other machines than this
// one: paths in it stay as they are, and nothing is looked for at them.
func ParseElsewhere(name string, b []byte) (*File, error) {
	return parse(&decoder{file: name, elsewhere: true}, "", b)
}

func parse(d *decoder, dir string, b []byte) (*File, error) {
	root, problem := document(b)
	if problem != nil {
		problem.File = d.file
		return nil, Errors{problem}
	}
	d.where, d.names = map[string]position{}, map[string]position{}
	f := &File{Path: filepath.Join(dir, filepath.Base(d.file))}
	d.object(root, reflect.ValueOf(f).Elem(), "")
	d.read = len(d.errs)
	if !d.broken("") {
		f.paths(dir)
		d.check(f)
	}
	if len(d.errs) > 0 {
		slices.SortStableFunc(d.errs, (*Error).order)
		return nil, d.errs
	}
	return f, nil
}

// paths makes every path absolute.
func (f *File) paths(dir string) {
	abs := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	abs(&f.API)
	abs(&f.PKI)
	abs(&f.Geo)
	for i := range f.Functions {
		fn := &f.Functions[i]
		abs(&fn.Go)
		abs(&fn.Binary)
		abs(&fn.Zip)
		for k, v := range fn.Env {
			abs(&v.File)
			fn.Env[k] = v
		}
	}
	for k, s := range f.Secrets {
		abs(&s.File)
		f.Secrets[k] = s
	}
	for k, a := range f.Authorizers {
		abs(&a.Keys)
		f.Authorizers[k] = a
	}
	if l := f.AccessLog; l != nil && l.To != "stdout" {
		abs(&l.To)
	}
	for id, path := range f.TrustedKeys {
		abs(&path)
		f.TrustedKeys[id] = path
	}
	for k, o := range f.Origins {
		abs(&o.CA)
		for name, v := range o.Headers {
			abs(&v.File)
			o.Headers[name] = v
		}
		f.Origins[k] = o
	}
	if c := f.TLS.Clients; c != nil {
		abs(&c.CA)
		abs(&c.CRL)
	}
	for k, s := range f.KeyValueStores {
		abs(&s.File)
		f.KeyValueStores[k] = s
	}
	for k, e := range f.EdgeFunctions {
		abs(&e.Code)
		f.EdgeFunctions[k] = e
	}
	for i := range f.DynamicOrigins.Sign {
		abs(&f.DynamicOrigins.Sign[i].Credentials)
	}
	for i := range f.Certificates {
		abs(&f.Certificates[i].Cert)
		abs(&f.Certificates[i].Key)
		if a := f.Certificates[i].ACME; a != nil {
			abs(&a.CA)
		}
	}
	if f.Database != nil {
		abs(&f.Database.Migrations)
		abs(&f.Database.Password)
		for k, s := range f.Database.Servers {
			abs(&s.DSN)
			f.Database.Servers[k] = s
		}
		if b := f.Database.Backup; b != nil {
			abs(&b.Credentials)
			if !strings.HasPrefix(b.To, "s3://") {
				abs(&b.To)
			}
		}
	}
}

// Primary returns the region that the file names as the primary.
func (f *File) Primary() meridian.Region {
	for _, r := range f.Regions {
		if r.Primary {
			return r.Name
		}
	}
	return ""
}

// Node returns the node of that name.
func (f *File) Node(name string) (Node, bool) {
	for _, n := range f.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}

// Has reports whether n plays a role.
func (n Node) Has(r Role) bool { return slices.Contains(n.Roles, r) }
