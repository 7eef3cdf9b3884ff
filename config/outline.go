package config

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// placed are the keys that say where the world is, not what.
var placed = []string{"regions", "edges", "nodes", "clients", "pki", "certificates", "secrets"}

// Outline returns a digest of each key of a file that is the same on all
// machines of a world: without where regions and nodes are, and without paths,
// which differ between machines. Two files of one world have equal outlines.
func Outline(f *File) map[string]string {
	v := reflect.ValueOf(withoutPaths(f))
	out := map[string]string{}
	for _, k := range fieldsOf(v.Type()) {
		if slices.Contains(placed, k.key) {
			continue
		}
		var b []byte
		if said := encode(v.Field(k.index)); said != nil {
			b, _ = yaml.Marshal(said) // as Marshal writes the whole
		}
		sum := sha256.Sum256(b)
		out[k.key] = hex.EncodeToString(sum[:8])
	}
	return out
}

// withoutPaths returns a file that says where nothing lies.
func withoutPaths(f *File) File {
	c := *f
	c.API, c.PKI = "", ""
	c.Functions = slices.Clone(f.Functions)
	for i := range c.Functions {
		fn := &c.Functions[i]
		fn.Go, fn.Binary, fn.Zip = "", "", ""
		fn.Env = outlined(fn.Env)
	}
	c.Authorizers = map[string]Authorizer{}
	for name, a := range f.Authorizers {
		a.Keys = "a file"
		c.Authorizers[name] = a
	}
	c.Origins = map[string]Origin{}
	for name, o := range f.Origins {
		if o.CA != "" {
			o.CA = "a file"
		}
		o.Headers = outlined(o.Headers)
		c.Origins[name] = o
	}
	if f.Database != nil {
		db := *f.Database
		if db.Password = ""; db.Migrations != "" {
			db.Migrations = "a folder"
		}
		c.Database = &db
	}
	return c
}

// outlined returns values without the paths of their files.
func outlined(values map[string]Value) map[string]Value {
	out := map[string]Value{}
	for name, v := range values {
		if v.File != "" {
			v.File = "a file"
		}
		out[name] = v
	}
	return out
}
