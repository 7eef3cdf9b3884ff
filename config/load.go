package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"meridian"
)

// Load reads and checks the file at path. Its error is an Errors with every
// mistake that was found, or says why the file could not be read.
func Load(path string) (*File, error) {
	b, err := os.ReadFile(path)
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

// Parse reads and checks b, the bytes of the file name; paths in it are
// relative to dir.
func Parse(name, dir string, b []byte) (*File, error) {
	d := &decoder{file: name, where: map[string]position{}}
	f := &File{Path: filepath.Join(dir, filepath.Base(name))}
	defaults(reflect.ValueOf(f).Elem())
	var doc yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(string(b)))
	switch err := dec.Decode(&doc); {
	case err == io.EOF:
		return nil, Errors{{File: name, Line: 1, Column: 1, Found: "the file is empty", Expected: "domain, regions, api and functions"}}
	case err != nil:
		return nil, Errors{yamlError(name, err)}
	}
	d.object(doc.Content[0], reflect.ValueOf(f).Elem(), "")
	f.paths(dir)
	d.check(f)
	if len(d.errs) > 0 {
		slices.SortStableFunc(d.errs, func(a, b *Error) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, d.errs
	}
	return f, nil
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// yamlError turns the YAML reader's own complaint into one of ours.
func yamlError(name string, err error) *Error {
	e := &Error{File: name, Line: 1, Column: 1, Found: strings.TrimPrefix(err.Error(), "yaml: "), Expected: "YAML"}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Found = m[2]
	}
	return e
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
	for i := range f.Certificates {
		abs(&f.Certificates[i].Cert)
		abs(&f.Certificates[i].Key)
	}
	if f.Database != nil {
		abs(&f.Database.Migrations)
		abs(&f.Database.Password)
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
