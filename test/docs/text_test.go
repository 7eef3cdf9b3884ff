package docs_test

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"meridian/config"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	unslug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	fenced  = regexp.MustCompile("(?s)```.*?```")
	span    = regexp.MustCompile("`([a-z][a-z_]*/[A-Za-z0-9_./-]+)`")
	goTest  = regexp.MustCompile("go test -run '?([^' `]+)'? (?:-fuzz (\\w+) )?(\\S+?)[`\\s]")
)

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, page), ""), -1) {
			if err := follow(page, m[1]); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// follow checks a link within the repository, and its fragment.
func follow(page, to string) error {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" {
		return err
	}
	target := page
	if u.Path != "" {
		target = filepath.Join(filepath.Dir(page), u.Path)
	}
	b, err := os.ReadFile(filepath.Join(root, target))
	if info, e := os.Stat(filepath.Join(root, target)); e == nil && info.IsDir() {
		return nil
	}
	if err != nil || u.Fragment == "" {
		return err
	}
	for _, h := range heading.FindAllStringSubmatch(string(b), -1) {
		if slug(h[1]) == u.Fragment {
			return nil
		}
	}
	return fmt.Errorf("%s has no heading #%s", target, u.Fragment)
}

// TestEveryPathNamedExists checks what stands in code spans and begins with a
// folder of the module.
func TestEveryPathNamedExists(t *testing.T) {
	named := 0
	for _, page := range pages(t) {
		for _, m := range span.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, page), ""), -1) {
			top, _, _ := strings.Cut(m[1], "/")
			if info, err := os.Stat(filepath.Join(root, top)); err != nil || !info.IsDir() {
				continue
			}
			named++
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d paths are named: the expression does not find them", named)
	}
}

// TestBrokenReferencesAreNoticed is the negative control of the tests of this
// file.
func TestBrokenReferencesAreNoticed(t *testing.T) {
	for what, err := range map[string]error{
		"a link to nothing":         follow("README.md", "docs/nothing.md"),
		"a link to no heading":      follow("README.md", "ARCHITECTURE.md#nothing"),
		"a test that is not there":  defined("TestNothing", "./edge"),
		"a folder that has no test": defined("TestImports", "./nothing"),
	} {
		if err == nil {
			t.Errorf("%s passes", what)
		}
	}
	if err := follow("README.md", "ARCHITECTURE.md#guarantees"); err != nil {
		t.Errorf("a good link: %v", err)
	}
}

// slug returns the fragment that a heading gets.
func slug(heading string) string {
	return strings.ReplaceAll(strings.ToLower(unslug.ReplaceAllString(heading, "")), " ", "-")
}

// TestEveryNamedTestExists finds the functions behind `go test -run X ./pkg`.
// A misspelled name would pass in silence: "no tests to run" is no failure.
func TestEveryNamedTestExists(t *testing.T) {
	named := 0
	for _, page := range pages(t) {
		for _, m := range goTest.FindAllStringSubmatch(read(t, page), -1) {
			for name := range strings.SplitSeq(m[1]+"|"+m[2], "|") {
				if name == "" || name == "^$" {
					continue
				}
				named++
				if err := defined(name, m[3]); err != nil {
					t.Errorf("%s: %v", page, err)
				}
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d tests are named: the expression does not find them", named)
	}
}

func defined(name, pkg string) error {
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if strings.Contains(string(b), "func "+name+"(") {
			return nil
		}
	}
	return fmt.Errorf("%s has no %s", pkg, name)
}

// TestEveryDecisionIsListed keeps the list of decisions whole.
func TestEveryDecisionIsListed(t *testing.T) {
	list := read(t, "docs/adr/README.md")
	found, err := fs.Glob(os.DirFS(root), "docs/adr/0*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if !strings.Contains(list, "("+filepath.Base(f)+")") {
			t.Errorf("docs/adr/README.md does not list %s", f)
		}
		for _, part := range []string{"**Context.**", "**Decision.**", "**Refused.**", "**What would change our mind.**"} {
			if !strings.Contains(read(t, f), part) {
				t.Errorf("%s has no %s", f, part)
			}
		}
	}
}

func TestEveryFileShownLoads(t *testing.T) {
	shown := 0
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if b.lang != "yaml" || !b.has("file") {
				continue
			}
			shown++
			dir := t.TempDir()
			fixtures(t, dir, b)
			name := fmt.Sprintf("%s:%d", b.page, b.line)
			if _, err := config.Parse(name, dir, []byte(b.text)); err != nil {
				t.Error(err)
			}
		}
	}
	if shown < 5 {
		t.Errorf("only %d files are shown", shown)
	}
}
