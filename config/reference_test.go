package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// optional matches a commented-out line of YAML, whose indentation is even;
// prose has one space.
var optional = regexp.MustCompile(`(?m)^#((?:  )*[^ \n])`)

// everything is the reference with all that is optional in force.
func everything() string { return optional.ReplaceAllString(Reference(), "$1") }

// referred lays out the files that the reference names, and returns their
// folder.
func referred(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	referredFunctions(t, dir)
	for _, name := range []string{"functions/hello/", "migrations/", "pki/"} {
		mkdir(t, filepath.Join(dir, name))
	}
	for _, name := range []string{"openapi.yaml", "jwks.json", "functions/thumbnails", "functions/reports.zip", "licence.txt", "secrets/payments", "secrets/postgres", "secrets/s3", "secrets/us-east-1.dsn", "secrets/eu-west-1.dsn", "secrets/basel.dsn", "tls/chain.pem", "tls/roots.pem", "tls/clients.pem", "tls/clients.crl", "tls/key.pem", "tls/assets-ca.pem", "keys/k2.pub.pem", "geo/country.mmdb"} {
		mkdir(t, filepath.Dir(filepath.Join(dir, name)))
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mkdir(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestReferenceIsAFileToStartFrom(t *testing.T) {
	f, err := Parse("meridian.yaml", referred(t), []byte(Reference()))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Regions) != 2 || f.Primary() != "us-east-1" || len(f.Nodes) != 0 {
		t.Errorf("got %d regions, primary %s, %d nodes", len(f.Regions), f.Primary(), len(f.Nodes))
	}
}

func TestReferenceIsGoodWithAllItsKeys(t *testing.T) {
	f, err := Parse("meridian.yaml", referred(t), []byte(everything()))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Regions) != 3 || len(f.Functions) != 3 || len(f.Nodes) != 6 || f.CORS == nil || f.Database == nil {
		t.Errorf("not everything was read: %+v", f)
	}
}

// TestReferenceShowsEveryKeyWithItsDefault reads the keys from the structs, so
// that a new one cannot be forgotten, nor a changed default.
func TestReferenceShowsEveryKeyWithItsDefault(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(everything()), &root); err != nil {
		t.Fatal(err)
	}
	shown := map[string][]string{} // values by path, with * for names and indices
	collect(root.Content[0], reflect.TypeFor[File](), "", shown)
	expectKeys(t, reflect.TypeFor[File](), "", shown)
}

func collect(n *yaml.Node, t reflect.Type, path string, shown map[string][]string) {
	switch {
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			collect(item, elem(t), path+".*", shown)
		}
	case n.Kind == yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			k, v, sub := n.Content[i].Value, n.Content[i+1], path+".*"
			next := elem(t)
			if t != nil && t.Kind() == reflect.Struct {
				sub, next = path+"."+k, nil
				for _, f := range fieldsOf(t) {
					if f.key == k {
						next = past(t.Field(f.index).Type)
					}
				}
			}
			shown[sub] = append(shown[sub], v.Value)
			collect(v, next, sub, shown)
		}
	}
}

// elem returns what t holds, past a pointer.
func elem(t reflect.Type) reflect.Type {
	if t == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		return past(t.Elem())
	}
	return nil
}

func past(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func expectKeys(t *testing.T, of reflect.Type, path string, shown map[string][]string) {
	for _, f := range fieldsOf(of) {
		at := path + "." + f.key
		values, ok := shown[at]
		if !ok {
			t.Errorf("the reference does not show %s", at)
		}
		if f.def != "" && !(len(values) > 0 && values[0] == f.def) {
			t.Errorf("%s: the reference shows %q first, the default is %s", at, values, f.def)
		}
		inner := past(of.Field(f.index).Type)
		if e := elem(inner); e != nil {
			inner, at = e, at+".*"
		}
		if inner.Kind() == reflect.Struct && inner != valueType && !isScalar(inner) && inner != reflect.TypeFor[Clients]() {
			expectKeys(t, inner, at, shown)
		}
	}
}

func TestSchemaAcceptsWhatLoadAccepts(t *testing.T) {
	s := compile(t)
	files := map[string]string{"the reference": Reference(), "the whole reference": everything()}
	for _, path := range examples(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = string(b)
	}
	files["the long forms"] = "domains: [api.example.test]\nregions: {us-east-1: {primary: true}, eu-west-1:}\napis: [openapi.yaml]\ndatabases: [{name: hello}]\n"
	for name, text := range files {
		if err := s.Validate(plainJSON(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefusesWhatEditorsShouldMark(t *testing.T) {
	s := compile(t)
	good := "domain: api.example.test\nregions: {us-east-1: {primary: true}}\napi: openapi.yaml\n"
	if err := s.Validate(plainJSON(t, good)); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"colour: red", "limits: {body: lots}", "dns: {ttl: 5}", "domains: [x.test]", "edges: us-east-1", "functions: {a: {min: many}}", "nodes: [{roles: [door]}]"} {
		if s.Validate(plainJSON(t, good+more+"\n")) == nil {
			t.Errorf("%s: the schema has nothing against it", more)
		}
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("meridian.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("meridian.schema.json") // checks it against the 2020-12 metaschema
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// textKeys makes texts of keys such as 404, as a JSON reader of YAML does.
func textKeys(v any) any {
	switch v := v.(type) {
	case map[any]any:
		out := map[string]any{}
		for k, e := range v {
			out[fmt.Sprint(k)] = textKeys(e)
		}
		return out
	case map[string]any:
		for k, e := range v {
			v[k] = textKeys(e)
		}
	case []any:
		for i, e := range v {
			v[i] = textKeys(e)
		}
	}
	return v
}

// plainJSON returns the YAML text as the values that a JSON reader would give.
func plainJSON(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(textKeys(v))
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// examples returns the world files of the examples.
func examples(t testing.TB) (files []string) {
	t.Helper()
	err := filepath.WalkDir("../examples", func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(e.Name(), "meridian") && strings.HasSuffix(path, ".yaml") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 2 {
		t.Fatal(fmt.Errorf("found %d examples: %w", len(files), err))
	}
	return files
}
