package script

import (
	"fmt"
	"regexp"
	"unicode"
)

// The engine takes \p{L} of a regular expression for the text p{L}, but knows it
// in expressions that it matches by trial, which an empty look-ahead makes of any.
var (
	literal  = regexp.MustCompile(`/((?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)/[a-z]*[uv]`)
	made     = regexp.MustCompile(`RegExp\(("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'), "[a-z]*[uv][a-z]*"\)`)
	property = regexp.MustCompile(`(\\{1,2}[pP]\{)(?:(?:General_Category|gc|Script|sc|Script_Extensions|scx)=)?(\w+)(\})`)
)

// properties lets the engine see the Unicode properties that the regular
// expressions of a text name (ECMAScript, CharacterClassEscape). It fails for one
// that nobody here has a table of.
func properties(text string) (string, error) {
	if !property.MatchString(text) {
		return text, nil
	}
	var unknown error
	known := func(p string) string {
		m := property.FindStringSubmatch(p)
		name := m[2]
		if short, ok := unicode.CategoryAliases[name]; ok {
			name = short
		}
		if unicode.Categories[name] == nil && unicode.Scripts[name] == nil {
			unknown = fmt.Errorf("regular expressions know no property \\p{%s} here; there are general categories and scripts", m[2])
		}
		return m[1] + name + m[3]
	}
	tried := func(head int) func(string) string {
		return func(expr string) string {
			if !property.MatchString(expr) {
				return expr
			}
			expr = property.ReplaceAllStringFunc(expr, known)
			return expr[:head] + "(?=)" + expr[head:]
		}
	}
	text = literal.ReplaceAllStringFunc(text, tried(len("/")))
	text = made.ReplaceAllStringFunc(text, tried(len("RegExp(\"")))
	return text, unknown
}
