package config

import (
	"bytes"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Changed returns the keys of the file in which two files differ, in their
// order. Where in the text they stand does not count, nor does what the files
// that they point at hold.
func Changed(a, b *File) (keys []string) {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for _, f := range fieldsOf(x.Type()) {
		if !bytes.Equal(written(x.Field(f.index)), written(y.Field(f.index))) {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// Take gives a file what another says under some keys.
func Take(f, from *File, keys []string) {
	to, v := reflect.ValueOf(f).Elem(), reflect.ValueOf(from).Elem()
	for _, x := range fieldsOf(to.Type()) {
		if slices.Contains(keys, x.key) {
			to.Field(x.index).Set(v.Field(x.index))
		}
	}
}

// written returns a value as Marshal writes it.
func written(v reflect.Value) []byte {
	n := encode(v)
	if n == nil {
		return nil
	}
	b, err := yaml.Marshal(n)
	if err != nil {
		panic("config: " + err.Error()) // encode made it
	}
	return b
}
