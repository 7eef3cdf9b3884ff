package function

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestScripts runs the functions of testdata, and shows what each makes of an
// event: what a request is other than it was, or the response. Commands:
//
//	function [runtime=lambda-edge]       the source
//	run EVENT METHOD TARGET [STATUS] [origin=HOST] [body=TEXT]
//	                                     the request's headers, and after an empty line the response's;
//	                                     without that line, those of what the event is of
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		var e *Set
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "function":
				src := Source{Name: "f", File: "f.js", Code: []byte(d.Input), Store: "s"}
				d.MaybeScanArgs(t, "runtime", (*string)(&src.Runtime))
				var err error
				if e, err = New(Config{Functions: []Source{src}, Limits: patient}, scripted()); err != nil {
					return "refused: " + err.Error()
				}
				t.Cleanup(e.Close)
				return "loaded"
			case "run":
				ev := scriptEvent(t, d)
				out, err := e.Serve(context.Background(), "f", ev)
				return described(ev, out, err)
			}
			return "there is no command " + d.Cmd
		})
	})
}

// patient are limits for tests that look at something else, on any machine.
var patient = Limits{Time: time.Minute}

func scripted() Deps {
	d := Deps{Now: func() time.Time { return time.UnixMilli(1_700_000_000_123) }}
	store(map[string]string{"k": "v", "j": `{"a":1}`, "latest": `{"a_weightage": 1, "a_url": "v1"}`, "secret": "s3cret"})(nil, &d)
	return d
}

func scriptEvent(t *testing.T, d *datadriven.TestData) *Event {
	ev := get(d.CmdArgs[2].String())
	ev.Type, ev.In.Method = d.CmdArgs[0].Key, d.CmdArgs[1].Key
	in, out, both := strings.Cut(d.Input+"\n", "\n\n")
	if !both && isResponse(ev.Type) {
		in, out = "", in
	}
	ev.In.Header = headerOf(in)
	for _, a := range d.CmdArgs[3:] {
		switch a.Key {
		case "origin":
			ev.Origin = &Origin{Domain: a.Vals[0], Protocol: "http", Port: 8080, Path: "/base", Headers: http.Header{"X-Secret": {"1"}}}
		case "body":
			ev.Body = &Body{Data: []byte(strings.Join(a.Vals, ","))}
		default:
			status, err := strconv.Atoi(a.Key)
			if err != nil {
				t.Fatalf("%s: %q is no status", d.Pos, a.Key)
			}
			ev.Out = &Response{Status: status, Header: headerOf(out)}
		}
	}
	return ev
}

func headerOf(text string) http.Header {
	h := http.Header{}
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			h.Add(name, value)
		}
	}
	return h
}

// described shows what came of an event.
func described(ev *Event, r *Result, err error) string {
	var b strings.Builder
	switch failed := (*Error)(nil); {
	case errors.As(err, &failed):
		return fmt.Sprintf("%s: %v", failed.Code(), failed.Err)
	case err != nil:
		return "error: " + err.Error()
	case r.Response != nil:
		fmt.Fprintf(&b, "response %d\n", r.Response.Status)
		was := http.Header{}
		if ev.Out != nil {
			was = ev.Out.Header
		}
		changes(&b, was, r.Response.Header)
		if n := len(r.Response.Body); n > 1000 {
			fmt.Fprintf(&b, "body of %d bytes\n", n)
		} else if r.Response.Replaced {
			fmt.Fprintf(&b, "body %q\n", r.Response.Body)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "request %s", r.Request.Path)
	if r.Request.HasQuery {
		fmt.Fprintf(&b, "?%s", r.Request.Query)
	}
	b.WriteByte('\n')
	changes(&b, ev.In.Header, r.Request.Header)
	if r.Request.Host != ev.In.Host {
		fmt.Fprintf(&b, "host %s\n", r.Request.Host)
	}
	if r.Body != nil {
		fmt.Fprintf(&b, "body %q\n", r.Body.Data)
	}
	if r.Route != nil {
		routes(&b, r.Route)
	}
	return b.String()
}

func changes(b *strings.Builder, was, now http.Header) {
	var lines []string
	for name, values := range now {
		if !slices.Equal(was[name], values) {
			for _, v := range values {
				lines = append(lines, "+ "+name+": "+v)
			}
		}
	}
	for name := range was {
		if _, ok := now[name]; !ok {
			lines = append(lines, "- "+name)
		}
	}
	slices.Sort(lines)
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
}

func routes(b *strings.Builder, r *Route) {
	for _, t := range r.To {
		fmt.Fprintf(b, "to %s", t.Name)
		if o := t.Origin; o != nil {
			fmt.Fprintf(b, "%s://%s:%d%s host=%s headers=%v read=%v", o.Protocol, o.Domain, o.Port, o.Path, o.Host, o.Headers, o.ReadTimeout)
			if o.Sign != nil {
				fmt.Fprintf(b, " sign=%v", *o.Sign)
			}
		}
		b.WriteByte('\n')
	}
	if len(r.Codes) > 0 {
		fmt.Fprintf(b, "on %v\n", r.Codes)
	}
}
