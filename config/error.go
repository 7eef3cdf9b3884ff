package config

import (
	"cmp"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// An Error is one mistake in a file.
type Error struct {
	File         string
	Line, Column int    // from 1; 0 where the file as a whole is meant
	Key          string // the path of keys, such as functions.users.timeout
	Found        string
	Expected     string
}

// Error writes file:line:column: key: found; expected, on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Found)
	if e.Expected != "" {
		b.WriteString("; expected " + e.Expected)
	}
	return b.String()
}

// same reports whether o is about the same key at the same place.
func (e *Error) same(o *Error) bool {
	return e.Line == o.Line && e.Column == o.Column && e.Key == o.Key
}

// order sorts as the file reads.
func (e *Error) order(o *Error) int {
	return cmp.Or(cmp.Compare(e.Line, o.Line), cmp.Compare(e.Column, o.Column))
}

// Errors are all the mistakes of a file, in the order of its lines.
type Errors []*Error

// Error writes one mistake a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// places are where in a file its values stand, by their paths of keys, for what is
// found out only in the files that it points at.
type places struct {
	file string
	all  map[string]position
}

// At says of err, which is wrong with what the value of key points at, where in
// the file that stands. It returns nil for nil.
func (f *File) At(key string, err error) error {
	switch p, ok := f.pos.all[key]; {
	case err == nil:
		return nil
	case ok:
		return fmt.Errorf("%s:%d:%d: %s: %w", f.pos.file, p.line, p.column, key, err)
	}
	return fmt.Errorf("%s: %w", key, err) // a file that was not parsed has no places
}

// A position is where in the file something stands.
type position struct {
	line, column int
	key          string
}

func at(n *yaml.Node, key string) position { return position{n.Line, n.Column, key} }
