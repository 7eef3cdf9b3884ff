package httpcache

import (
	"encoding/json"
	"testing"
)

// kindMended is the kind of a required test that is run once more, as the suite
// has had it since.
const kindMended = "mended"

// mended are the required tests of which a later version of the suite, which no
// package has, wants something else, and what it wants of the last request.
//
// Of a malformed Age it wants what RFC 9111, section 5.1, does: it is ignored,
// and of several the first holds. Of an origin that closes its connection, and
// an answer that must not be served stale, it wants that the client does not get
// that answer; this version wants one that bears the closed connection's own
// headers, which nobody can have.
var mended = map[string]map[string]any{
	"age-parse-nonnumeric":         ignored,
	"age-parse-negative":           ignored,
	"age-parse-float":              ignored,
	"age-parse-prefix-twoline":     ignored,
	"age-parse-dup-0":              ignored,
	"age-parse-dup-0-twoline":      ignored,
	"age-parse-dup-old":            ignored,
	"stale-close-must-revalidate":  refused,
	"stale-close-proxy-revalidate": refused,
	"stale-close-no-cache":         refused,
	"stale-close-s-maxage=2":       refused,
}

var (
	ignored = map[string]any{"expected_type": "cached"}
	refused = map[string]any{
		"expected_type": nil, "expected_status": 502, "check_body": false, "expected_response_headers_missing": []string{"server-request-count"},
	}
)

// runMended runs those tests alone.
const runMended = `
import fetch from 'node-fetch'
import tests from './tests/index.mjs'
import { runTests, getResults } from './client/runner.mjs'
const mended = JSON.parse(process.env.MENDED)
for (const s of tests) {
  s.tests = s.tests.filter(t => t.id in mended)
  for (const t of s.tests)
    for (const [k, v] of Object.entries(mended[t.id])) {
      const last = t.requests.at(-1)
      if (v === null) delete last[k]
      else last[k] = v
    }
}
await runTests(tests, fetch, false, process.env.BASE)
console.log('\n' + JSON.stringify(getResults()))`

// again runs the mended tests. What they depend on has been run.
func again(t *testing.T, dir, base, roots string, tests []*test) (out []*test) {
	want, err := json.Marshal(mended)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"MENDED=" + string(want), "BASE=" + base, "NODE_EXTRA_CA_CERTS=" + roots}
	results := run(t, node(t.Context(), dir, env, "--input-type=module", "-e", runMended))
	all := map[string]*test{}
	for _, c := range tests {
		all[c.ID] = c
	}
	for id := range mended {
		c := all[id]
		if c == nil || c.Kind != "required" {
			t.Fatalf("%s is no required test", id)
		}
		m := &test{ID: id, Kind: kindMended}
		judge([]*test{m}, results)
		for _, d := range c.Depends {
			if all[d].result != "pass" {
				m.result, m.why = "moot", "depends on "+d
			}
		}
		out = append(out, m)
	}
	return out
}
