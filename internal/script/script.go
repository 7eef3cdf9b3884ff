// Package script makes JavaScript source ready to run: it turns modules into
// scripts, says where a mistake stands, and compiles. It runs nothing.
package script

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/dop251/goja"
	"github.com/evanw/esbuild/pkg/api"
)

// A Program is a source that may be run in any number of runtimes at once. Its
// value is a function of (require, module, exports, grown), which returns what
// the source declares as handler, or undefined. grown is called with each value
// that may be a text made of two others, with 1 as the second argument with each that
// is spread, and with 2 with each name that is computed; it returns the value.
type Program struct {
	File string // as errors name it
	Code *goja.Program

	Grows     bool // it calls grown
	Sparse    bool // it may give an array a length that nobody filled
	Nests     bool // it may nest an array in another again and again
	Spreads   bool // it may make an array of a text's characters
	Backtrack bool // it may match by trial, step by step

	words, borrowed map[string]bool
}

// An Error is a mistake in a source, and where it stands.
type Error struct {
	File         string
	Line, Column int // from 1; 0 if the mistake has no place
	Text         string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Text)
}

// Compile compiles a source of at most limit bytes. Its error is an *Error.
func Compile(file string, source []byte, limit int) (*Program, error) {
	file = filepath.Base(file)
	if len(source) > limit {
		return nil, &Error{File: file, Text: fmt.Sprintf("%d bytes of code, at most %d are taken", len(source), limit)}
	}
	p, err := compile(file, source, lacking)
	if err == nil {
		return p, nil
	}
	if plainer, again := compile(file, source, withoutArrows()); again == nil {
		return plainer, nil
	}
	return nil, err
}

// compile compiles a source, without the syntax that is said to be lacking.
func compile(file string, source []byte, lacking map[string]bool) (*Program, error) {
	out := api.Transform(string(source), api.TransformOptions{
		Sourcefile: file, Loader: api.LoaderJS, Format: api.FormatCommonJS, Charset: api.CharsetUTF8, LogLevel: api.LogLevelSilent,
		Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentExclude,
		Target: api.ES2022, Supported: lacking,
	})
	if len(out.Errors) > 0 {
		return nil, mistake(file, out.Errors[0])
	}
	text, err := properties(imports.ReplaceAllString(string(out.Code), "$1$2;"))
	if err != nil {
		return nil, &Error{File: file, Text: err.Error()}
	}
	words, head := wordsOf(text), strict
	if words["exports"] && !strings.HasPrefix(text, useStrict) {
		head = sloppy
	}
	text = strings.TrimPrefix(text, useStrict)
	tree, seen, err := parse(file, head+text+tail+lowered(out.Map))
	if err != nil {
		return nil, &Error{File: file, Text: err.Error()}
	}
	code, err := goja.CompileAST(tree, head == strict)
	if err != nil {
		return nil, &Error{File: file, Text: err.Error()}
	}
	p := &Program{File: file, Code: code, Grows: seen.handing, words: words, borrowed: seen.borrowed}
	p.Sparse = sparse.MatchString(text)
	p.Nests = strings.Count(text, "function") > 1 || strings.Contains(text, "=>") || p.Says("for", "while", "do")
	p.Spreads = strings.Contains(text, "...") || p.Says("of", "from", "Set", "Map", "WeakSet", "fromEntries", "all", "allSettled", "any", "race", "yield", "iterator")
	p.Backtrack = backtrack.MatchString(text) || p.Says("RegExp", "exec", "test", "lastIndex")
	return p, nil
}

const useStrict = "\"use strict\";\n"

// lowered returns a source map for a text one line below: in the mappings, a
// semicolon ends a line (ECMA-426, section 9.2).
func lowered(m []byte) string {
	m = bytes.Replace(m, []byte(`"mappings": "`), []byte(`"mappings": ";`), 1)
	return "\n//# sourceMappingURL=data:application/json;base64," + base64.StdEncoding.EncodeToString(m)
}

// A head and tail make a function of the source, which so is run anew for each
// call. A head is one line. CloudFront's runtime and modules are strict; what
// exports as Node's scripts do is what it says of itself.
const (
	strict = "(function (require, module, exports) { \"use strict\";\n"
	sloppy = "(function (require, module, exports) {\n"
	tail   = "\nreturn typeof handler === \"undefined\" ? undefined : handler; })"
)

// sparse finds what writes an element whose place is computed, or a length.
var sparse = regexp.MustCompile("[^\"'`\\]]\\]\\s*(" + assigns + ")|length[\"'`\\]]*\\s*(" + assigns + "|:)|[\"'`]length[\"'`]")

const assigns = `(\*\*|<<|>>>?|&&|\|\||\?\?|[-+*/%&|^])?=[^=>]|\+\+|--`

// backtrack finds what RE2 has not: looking around, and back-references.
var backtrack = regexp.MustCompile(`\(\?(=|!|<=|<!)|\\[1-9]|\\k<`)

// lacking is syntax that goja does not know, and esbuild can do without.
var lacking = map[string]bool{"async-generator": false, "for-await": false, "hashbang": false, "bigint": false, "import-assertions": false, "using": false, "decorators": false, "top-level-await": false}

// withoutArrows is lacking, for sources whose arrow functions have patterns with
// defaults in patterns with defaults, which the engine does not parse.
func withoutArrows() map[string]bool {
	out := map[string]bool{"arrow": false}
	for name := range lacking {
		out[name] = false
	}
	return out
}

// imports finds what esbuild makes of an import. The modules that we hand out
// have themselves as their default, so that its wrapping, which costs a getter
// for every name, has nothing to do.
var imports = regexp.MustCompile(`(?m)^(var import_\w+ = )__toESM\((require\("[^"]*"\))\);`)

// mistake makes an Error of esbuild's message.
func mistake(file string, m api.Message) *Error {
	e := &Error{File: file, Text: m.Text}
	if at := m.Location; at != nil {
		e.Line, e.Column = at.Line, at.Column+1
	}
	return e
}

var word = regexp.MustCompile(`[A-Za-z_$][\w$]*`)

func wordsOf(text string) map[string]bool {
	out := map[string]bool{}
	for _, w := range word.FindAllString(text, -1) {
		out[w] = true
	}
	return out
}

// Says reports whether one of the words stands anywhere in the source. What it
// does not say it can name only by a text that it puts together.
func (p *Program) Says(words ...string) bool {
	for _, w := range words {
		if p.words[w] {
			return true
		}
	}
	return false
}

// Borrows reports whether a source says one of the names of functions without
// calling it there: it may call it on something else.
func (p *Program) Borrows(names ...string) bool {
	for _, n := range names {
		if p.borrowed[n] {
			return true
		}
	}
	return false
}
