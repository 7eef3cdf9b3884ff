// Package kv is key-value stores of CloudFront's kind: what a store may hold, and
// its content at one moment. It keeps and sends nothing.
package kv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// CloudFront's limits of a store, in bytes.
const (
	MaxStore = 5 << 20
	MaxKey   = 512
	MaxValue = 1 << 10
)

// A Snapshot is a store's content at one moment. It never changes.
type Snapshot struct {
	Name    string
	Created time.Time
	Updated time.Time

	values map[string]string
	size   int
}

// New returns a store of the given pairs. It fails if they are more than a store
// may hold.
func New(name string, created, updated time.Time, values map[string]string) (*Snapshot, error) {
	s := &Snapshot{Name: name, Created: created, Updated: updated, values: values}
	for k, v := range values {
		if err := Check(k, v); err != nil {
			return nil, err
		}
		s.size += len(k) + len(v)
	}
	if s.size > MaxStore {
		return nil, fmt.Errorf("%d bytes in keys and values, at most %d are taken", s.size, MaxStore)
	}
	return s, nil
}

// Get returns a key's value.
func (s *Snapshot) Get(key string) (string, bool) {
	if s == nil {
		return "", false
	}
	v, ok := s.values[key]
	return v, ok
}

// Len returns how many keys there are.
func (s *Snapshot) Len() int {
	if s == nil {
		return 0
	}
	return len(s.values)
}

// Size returns the bytes of all keys and values.
func (s *Snapshot) Size() int {
	if s == nil {
		return 0
	}
	return s.size
}

// Keys returns the keys, sorted.
func (s *Snapshot) Keys() []string {
	if s == nil {
		return nil
	}
	out := make([]string, 0, len(s.values))
	for k := range s.values {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// With returns the store's content with values put over it, and without the keys
// of gone. What would not fit any more is left as it was, with the reason.
func (s *Snapshot) With(values map[string]string, gone []string, updated time.Time) (*Snapshot, error) {
	all := make(map[string]string, len(s.values)+len(values))
	maps.Copy(all, s.values)
	maps.Copy(all, values)
	for _, k := range gone {
		delete(all, k)
	}
	return New(s.Name, s.Created, updated, all)
}

// Check returns why a store takes no such pair, or nil.
func Check(key, value string) error {
	switch {
	case key == "" || len(key) > MaxKey:
		return fmt.Errorf("a key of %d bytes, expected 1 to %d", len(key), MaxKey)
	case len(value) > MaxValue:
		return fmt.Errorf("the value of %q has %d bytes, at most %d are taken", key, len(value), MaxValue)
	case !utf8.ValidString(key) || !utf8.ValidString(value):
		return fmt.Errorf("%q or its value is not UTF-8", key)
	}
	return nil
}

// Parse reads the file that CloudFront imports a store from:
// {"data": [{"key": "k", "value": "v"}]}.
func Parse(b []byte) (map[string]string, error) {
	var in struct {
		Data []struct {
			Key   *string `json:"key"`
			Value *string `json:"value"`
		} `json:"data"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, fmt.Errorf("%s: %w", place(b, d.InputOffset()), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%s: more than one value", place(b, d.InputOffset()))
	}
	out := make(map[string]string, len(in.Data))
	for i, e := range in.Data {
		switch _, twice := out[deref(e.Key)]; {
		case e.Key == nil || e.Value == nil:
			return nil, fmt.Errorf("data[%d] has no key or no value", i)
		case twice:
			return nil, fmt.Errorf("data[%d]: the key %q stands twice", i, *e.Key)
		}
		if err := Check(*e.Key, *e.Value); err != nil {
			return nil, fmt.Errorf("data[%d]: %w", i, err)
		}
		out[*e.Key] = *e.Value
	}
	if _, err := New("", time.Time{}, time.Time{}, out); err != nil {
		return nil, err
	}
	return out, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// place returns line:column of an offset.
func place(b []byte, off int64) string {
	head := b[:min(int(off), len(b))]
	return fmt.Sprintf("%d:%d", 1+bytes.Count(head, []byte("\n")), len(head)-bytes.LastIndexByte(head, '\n'))
}
