package openapi_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"meridian/gateway/openapi"
)

var known = openapi.Known{Functions: []string{"hello", "pets"}, Authorizers: nil}

// TestParse runs the scripts in testdata. "parse" gives a file, with the names
// of the configured authorizers as arguments; the result is its routes, or its
// mistakes.
func TestParse(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if filepath.Ext(path) != "" {
			return
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			k := known
			for _, arg := range d.CmdArgs {
				if arg.Key == "authorizers" {
					k.Authorizers = append(k.Authorizers, arg.Vals...)
				}
			}
			api, err := openapi.Parse("api.yaml", []byte(d.Input), k)
			if err != nil {
				return err.Error() + "\n"
			}
			return write(api)
		})
	})
}

func write(api *openapi.API) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", api.Title, api.Version)
	for _, r := range api.Routes {
		fmt.Fprintf(&b, "%s -> %s, format %s", r.Key, r.Function, r.Format)
		if r.Operation != "" {
			fmt.Fprintf(&b, ", operation %s", r.Operation)
		}
		if r.Timeout > 0 {
			fmt.Fprintf(&b, ", timeout %v", r.Timeout)
		}
		if r.Placement != "" {
			fmt.Fprintf(&b, ", placement %s", r.Placement)
		}
		if c := r.Reads.Consistency; c != nil {
			fmt.Fprintf(&b, ", consistency %s", c)
		}
		if u := r.Reads.Unreachable; u != "" {
			fmt.Fprintf(&b, ", on-unreachable %s", u)
		}
		for _, q := range r.Security.Any {
			fmt.Fprintf(&b, ", %s %s%v", q.Kind, q.Name, q.Scopes)
		}
		if r.Security.Optional {
			b.WriteString(", optional")
		}
		fmt.Fprintf(&b, " (line %d)\n", r.Line)
	}
	if c := api.CORS; c != nil {
		fmt.Fprintf(&b, "cors %+v\n", *c)
	}
	for _, n := range api.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

func TestProblemsAreTyped(t *testing.T) {
	_, err := openapi.Parse("x.yaml", []byte("openapi: 3.0.1\npaths: {/a: {get: {x-meridian-function: nope}}}\n"), known)
	var ps openapi.Problems
	if !errors.As(err, &ps) || len(ps) != 1 || ps[0].File != "x.yaml" || ps[0].Line != 2 || ps[0].Column != 41 {
		t.Errorf("Parse = %v", err)
	}
}

// The examples of this project are files that users copy.
func TestExamplesParse(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/openapi.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		api, err := openapi.Parse(f, text, openapi.Known{Functions: functionsOf(string(text))})
		if err != nil {
			t.Fatal(err)
		}
		if len(api.Routes) == 0 {
			t.Errorf("%s: no routes", f)
		}
	}
}

// functionsOf returns the names that a file gives to x-meridian-function.
func functionsOf(text string) (names []string) {
	for line := range strings.Lines(text) {
		if _, name, ok := strings.Cut(line, "x-meridian-function: "); ok {
			names = append(names, strings.Trim(strings.TrimSpace(name), `"'}`))
		}
	}
	return names
}

// FuzzParse checks that no file crashes the reader, and that a file yields
// either an API whose routes all have a function or a list of mistakes.
func FuzzParse(f *testing.F) {
	f.Add("openapi: 3.1.0\ninfo: {title: x, version: '1'}\npaths:\n  /a/{id}: {get: {x-meridian-function: hello, security: [{k: []}]}}\ncomponents: {securitySchemes: {k: {type: apiKey, in: header, name: x-api-key}}}\n")
	f.Add(`{"openapi":"3.0.1","x-meridian-function":"pets","paths":{"/$default":{"x-amazon-apigateway-any-method":{"$ref":"#/paths/~1$default"}}}}`)
	f.Add("openapi: 3.0.0\npaths: &a {/x: *a}\n")
	f.Fuzz(func(t *testing.T, text string) {
		api, err := openapi.Parse("f", []byte(text), known)
		var ps openapi.Problems
		switch {
		case err != nil && !errors.As(err, &ps):
			t.Errorf("an error that is no Problems: %v", err)
		case err == nil:
			for _, r := range api.Routes {
				if r.Function == "" || api.Table == nil {
					t.Errorf("route %s without function or table", r.Key)
				}
			}
		}
	})
}
