package openapi

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pb33f/go-yaml"
)

// Error writes file:line:column: found; expected, on one line.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, max(p.Column, 1))
	}
	b.WriteString(": " + p.Found)
	if p.Expected != "" {
		b.WriteString("; expected " + p.Expected)
	}
	return b.String()
}

// fail notes a mistake at a node, or of the file as a whole for a nil node.
func (r *reader) fail(at *yaml.Node, found, expected string) {
	p := &Problem{File: r.file, Found: found, Expected: expected}
	if at != nil {
		p.Line, p.Column = at.Line, at.Column
	}
	r.problems = append(r.problems, p)
}

// err returns what fail noted, in the order of the file, or nil.
func (r *reader) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.problems
}

// where finds the position in what the YAML parser and libopenapi write:
// "line 6: ...", "at line 1, col 47", "at L2.C1".
var where = regexp.MustCompile(`(?:\bat )?\bline (\d+)(?:,? col(?:umn)? (\d+))?:? ?|(?:\bat )?\bL(\d+)\.C(\d+):? ?`)

// document is what a file should have been.
const document = "an OpenAPI 3.0 or 3.1 document in YAML or JSON"

// library notes an error of the parser or of libopenapi. Joined errors are
// noted one by one.
func (r *reader) library(err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			r.library(e)
		}
		return
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	p := &Problem{File: r.file, Expected: document}
	if m := where.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1] + m[3])
		p.Column, _ = strconv.Atoi(m[2] + m[4])
		text = strings.TrimSpace(strings.Replace(text, m[0], "", 1))
	}
	for _, how := range []string{"failed to decode YAML to JSON: ", "yaml: ", "construct errors: ", "unable to parse specification: ", "go-yaml load error in parser "} {
		text = strings.TrimPrefix(text, how)
	}
	p.Found = text
	r.problems = append(r.problems, p)
}
