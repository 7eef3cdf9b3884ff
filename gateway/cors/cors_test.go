package cors_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"meridian/gateway/cors"
)

// TestCORS runs the scripts in testdata. "policy" gives a configuration,
// "preflight" and "answer" the headers of a request and, for an answer, those
// of the function behind a >; the result is what the browser is told.
func TestCORS(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var policy *cors.Policy
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			in, out := headers(d.Input)
			switch d.Cmd {
			case "policy":
				var err error
				if policy, err = cors.New(config(t, d.Input)); err != nil {
					return err.Error() + "\n"
				}
				return "ok\n"
			case "preflight":
				if !policy.IsPreflight("OPTIONS", in) {
					return "no preflight\n"
				}
				why := policy.Preflight(in, out)
				return why + "\n" + write(out)
			case "answer":
				policy.Answer(in, out)
				return write(out)
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

func config(t *testing.T, text string) (c cors.Config) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		list := strings.Fields(value)
		switch key {
		case "origins":
			c.AllowOrigins = list
		case "methods":
			c.AllowMethods = list
		case "headers":
			c.AllowHeaders = list
		case "expose":
			c.ExposeHeaders = list
		case "credentials":
			c.AllowCredentials, _ = strconv.ParseBool(value)
		case "age":
			c.MaxAge, _ = time.ParseDuration(value)
		default:
			t.Fatalf("unknown key %q", key)
		}
	}
	return c
}

func headers(text string) (in, out http.Header) {
	in, out = http.Header{}, http.Header{}
	for line := range strings.Lines(text) {
		h := in
		line, function := strings.CutPrefix(strings.TrimSpace(line), "> ")
		if function {
			h = out
		}
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return in, out
}

func write(h http.Header) string {
	var lines []string
	for name, values := range h {
		lines = append(lines, fmt.Sprintf("%s: %s\n", name, strings.Join(values, " | ")))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestNoPolicyHidesNothing(t *testing.T) {
	var p *cors.Policy
	out := http.Header{"Access-Control-Allow-Origin": {"*"}}
	p.Answer(http.Header{"Origin": {"https://a.test"}}, out)
	if len(out) != 1 || p.IsPreflight("OPTIONS", http.Header{"Origin": {"x"}, "Access-Control-Request-Method": {"PUT"}}) {
		t.Errorf("a nil policy acted: %v", out)
	}
}
