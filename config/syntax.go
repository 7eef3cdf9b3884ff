package config

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document returns the root of the one YAML document in b, or what is wrong.
func document(b []byte) (*yaml.Node, *Error) {
	if e := checkBytes(b); e != nil {
		return nil, e
	}
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	switch err := dec.Decode(&doc); {
	case err == io.EOF || err == nil && len(doc.Content) == 0:
		return nil, &Error{Line: 1, Column: 1, Found: "the file is empty", Expected: "domain, regions, api and functions"}
	case err != nil:
		return nil, syntaxError(b, err)
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		return nil, &Error{Line: more.Line, Column: more.Column, Found: "a second document", Expected: "one document in a file"}
	case err != io.EOF:
		return nil, syntaxError(b, err)
	}
	return doc.Content[0], nil
}

// checkBytes finds what no YAML may hold, of which the reader would not say
// where it is.
func checkBytes(b []byte) *Error {
	if len(b) > maxFile {
		return &Error{Line: 1, Column: 1, Found: "more than 1 MiB", Expected: "a smaller file"}
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return locate(b, i, fmt.Sprintf("found the byte 0x%02x", b[i]), "UTF-8")
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 && r != 0x85:
			return locate(b, i, fmt.Sprintf("found the control character %U", r), "text")
		}
		i += n
	}
	return nil
}

// locate says what stands at the byte of that offset. A column counts
// characters.
func locate(b []byte, offset int, found, expected string) *Error {
	start := bytes.LastIndexByte(b[:offset], '\n') + 1
	return &Error{
		Line: 1 + bytes.Count(b[:offset], []byte("\n")), Column: 1 + utf8.RuneCount(b[start:offset]),
		Found: found, Expected: expected,
	}
}

var (
	yamlLine   = regexp.MustCompile(`^(?:line (\d+): )?((?s).*)$`)
	yamlWanted = regexp.MustCompile(`^did not find expected (key|'-' indicator|',' or '[\]}]'|node content|<document start>|<stream-start>)$`)
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// noAlias finds the value that begins with * and is no alias.
var noAlias = regexp.MustCompile(`(?m)^[^#"'\n]*(?:[:,-][ \t]+|[\[{][ \t]*)\*[^A-Za-z0-9_-]`)

// hints say what to write instead, for the complaints that people meet most.
var hints = map[string]string{
	"key":              "a key that is indented as those above it",
	"'-' indicator":    "an element of the list, after a hyphen",
	"<document start>": "a key in column 1",
	"mapping values are not allowed in this context": "one key on a line, and quotes around a text that holds a colon and a space",
	"could not find expected ':'":                    "a colon and a space after the key",
	"found unexpected end of stream":                 "the quote that ends a text",
	"found character that cannot start any token":    "quotes around a text that begins so",
	"exceeded max depth of 10000":                    "less nesting",
}

// syntaxError turns the YAML reader's complaint into one of ours.
//
// The reader counts lines from 0 where the parser complains and from 1 where
// the scanner does, leaves out a line that it counts as 0, and gives no columns:
// ours is that of the line's first character.
func syntaxError(b []byte, err error) *Error {
	m := yamlLine.FindStringSubmatch(strings.TrimPrefix(err.Error(), "yaml: "))
	line, _ := strconv.Atoi(m[1])
	found, expected := m[2], hints[m[2]]
	if w := yamlWanted.FindStringSubmatch(found); w != nil {
		line, expected = line+1, or(hints[w[1]], w[1])
		found = ""
	}
	if w := yamlAnchor.FindStringSubmatch(found); w != nil {
		if i := bytes.Index(b, []byte("*"+w[1])); i >= 0 {
			return locate(b, i, "found the alias "+short("*"+w[1]), "one whose anchor stands above")
		}
	}
	if i := noAlias.FindIndex(b); found == "did not find expected alphabetic or numeric character" && i != nil {
		return locate(b, i[1]-2, "found * where YAML has an alias", `quotes around a text that begins with it, such as "*.css"`)
	}
	lines := strings.Split(string(b), "\n")
	line = min(max(line, 1), len(lines))
	for i := line; i <= len(lines) && i <= line+1; i++ {
		if tab := strings.IndexByte(indentOf(lines[i-1]), '\t'); tab >= 0 {
			return &Error{Line: i, Column: tab + 1, Found: "found a tab", Expected: "spaces: YAML is not indented with tabs"}
		}
	}
	text := strings.TrimRight(lines[line-1], "\r")
	indent := indentOf(text)
	if found == "" {
		found = "found " + short(text[len(indent):])
	}
	return &Error{Line: line, Column: len(indent) + 1, Found: found, Expected: or(expected, "YAML")}
}

func indentOf(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}
