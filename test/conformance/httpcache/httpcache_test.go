package httpcache

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	rewrite = flag.Bool("rewrite", false, "write testdata/results.txt anew")
	own     = flag.Bool("own", false, "let the suite's server be an origin of one's own, over HTTP/1.1")
)

// unframed is the test whose origin names a transfer coding that does not exist.
// A gateway bears it (see dialFiltered). The edge bears it from nobody: it asked
// for no coding, and cannot tell what the body is.
const unframed = "headers-store-Transfer-Encoding"

// A test is one of the suite's, with how it ended.
type test struct {
	ID, Kind string // kind: required, optimal, check, which only asks, or mended
	Depends  []string
	result   string
	why      string
}

// list prints what the suite knows of its tests.
const list = `
import tests from './tests/index.mjs'
import fs from 'fs'
const out = []
const surrogate = './tests/surrogate-control.mjs' // no later version has it
if (fs.existsSync(surrogate)) tests.push((await import(surrogate)).default)
for (const s of tests) for (const t of s.tests)
  if (!t.browser_only) out.push({ID: t.id, Kind: t.kind || 'required', Depends: t.depends_on || []})
console.log(JSON.stringify(out))`

// TestPublicSuite runs the suite once, for about a minute.
func TestPublicSuite(t *testing.T) {
	dir, engine := suite(t)
	server := startOrigin(t, dir, engine)
	base, roots := startEdge(t, startGateway(t, server), server, *own)
	var tests []*test
	out, err := node(t.Context(), dir, nil, "--input-type=module", "-e", list).Output()
	if err == nil {
		err = json.Unmarshal(out, &tests)
	}
	if err != nil {
		t.Fatalf("list the suite's tests: %v", err)
	}
	results := run(t, node(t.Context(), dir, []string{"npm_config_base=" + base, "NODE_EXTRA_CA_CERTS=" + roots}, filepath.Join(engine, "cli.mjs")))
	judge(tests, results)
	if *own {
		tests = withoutUnframed(t, tests)
	}
	if otherSuite != "" {
		enough(t, tests)
		return
	}
	compare(t, append(tests, again(t, dir, base, roots, tests)...))
}

// withoutUnframed takes unframed out, which must have ended by a 502.
func withoutUnframed(t *testing.T, tests []*test) []*test {
	return slices.DeleteFunc(tests, func(c *test) bool {
		if c.ID != unframed {
			return false
		}
		t.Logf("%s %s: %s: %s; not counted", c.Kind, c.ID, c.result, c.why)
		if !strings.Contains(c.why, "is 502") {
			t.Errorf("%s: %s: %s, want it refused by a 502", c.ID, c.result, c.why)
		}
		return true
	})
}

// run returns what the suite says of each of its tests.
func run(t *testing.T, cmd *exec.Cmd) (results map[string]any) {
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("run the suite: %v", err)
	}
	if err := json.Unmarshal(raw[max(strings.Index(string(raw), "\n{"), 0):], &results); err != nil {
		t.Fatalf("what the suite says: %v\n%.2000s", err, raw)
	}
	return results
}

// judge gives each test its result, as the suite's own page does: what depends
// on a test that did not pass says nothing.
func judge(tests []*test, results map[string]any) {
	byID := map[string]*test{}
	for _, c := range tests {
		byID[c.ID] = c
	}
	var of func(*test) string
	of = func(c *test) string {
		if c.result != "" {
			return c.result
		}
		for _, d := range c.Depends {
			if on := byID[d]; on != nil && of(on) != "pass" {
				c.result, c.why = "moot", "depends on "+d
				return c.result
			}
		}
		c.result = "pass"
		if said, ok := results[c.ID].([]any); ok && len(said) == 2 {
			c.result, c.why = strings.ToLower(fmt.Sprint(said[0])), fmt.Sprint(said[1])
			if c.result == "assertion" {
				c.result = "fail"
			}
		} else if results[c.ID] != true {
			c.result = "untested"
		}
		return c.result
	}
	for _, c := range tests {
		of(c)
	}
}

// count says how many tests ended how, by kind, and gives a line for each test.
func count(t *testing.T, tests []*test) (lines []string, by map[string]map[string]int) {
	by = map[string]map[string]int{}
	for _, c := range tests {
		lines = append(lines, fmt.Sprintf("%-8s %-8s %s", c.Kind, c.result, c.ID))
		if by[c.Kind] == nil {
			by[c.Kind] = map[string]int{}
		}
		by[c.Kind][c.result]++
		if c.result != "pass" && (c.Kind != "check" || otherSuite != "") {
			t.Logf("%s %s: %s: %s", c.Kind, c.ID, c.result, c.why)
		}
	}
	for _, kind := range []string{"required", kindMended, "optimal", "check"} {
		t.Logf("%s: %v", kind, by[kind])
	}
	return lines, by
}

// enough holds another version of the suite against what is promised of any: all
// that is required passes, and of what is optimal all but five.
func enough(t *testing.T, tests []*test) {
	_, by := count(t, tests)
	missed := func(kind string) (n int) {
		for result, of := range by[kind] {
			if result != "pass" {
				n += of
			}
		}
		return n
	}
	if n := missed("required"); n > 0 || by["required"]["pass"] == 0 {
		t.Errorf("%d required tests do not pass, %d do", n, by["required"]["pass"])
	}
	if n := missed("optimal"); n > 5 {
		t.Errorf("%d optimal tests do not pass, want at most 5", n)
	}
}

// compare holds the results against those that are expected.
func compare(t *testing.T, tests []*test) {
	const golden = "testdata/results.txt"
	lines, _ := count(t, tests)
	slices.Sort(lines)
	text := strings.Join(lines, "\n") + "\n"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	expected := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")
	if *own {
		expected = slices.DeleteFunc(expected, func(l string) bool { return strings.HasSuffix(l, " "+unframed) })
	}
	for _, l := range lines {
		switch {
		case slices.Contains(expected, l):
		case strings.HasPrefix(l, "check"): // these only ask, and some of them how fast the machine is
			t.Logf("other than before: %s", l)
		default:
			t.Errorf("not expected: %s", l)
		}
	}
	if len(lines) != len(expected) {
		t.Errorf("%d tests, want %d", len(lines), len(expected))
	}
}
