package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"meridian"
	"meridian/client"
	"meridian/config"
	"meridian/internal/delay"
	"meridian/internal/wan"
	"meridian/world"
)

type traceCmd struct {
	URL    string   `arg:"" help:"Such as https://api.example.test/api/articles." placeholder:"URL"`
	From   string   `help:"The place of the client. Default: the first edge's." placeholder:"PLACE"`
	Method string   `short:"X" help:"Default: GET, or POST with a body." placeholder:"METHOD"`
	Header []string `short:"H" sep:"none" help:"A request header, as name: value." placeholder:"'N: V'"`
	Data   *string  `short:"d" help:"The body." placeholder:"BODY"`
	Cold   bool     `help:"Do not send the request once before, to warm what has to be warm."`
	JSON   bool     `help:"Print JSON."`
}

func (c *traceCmd) Run(ctx context.Context, g *Global) error {
	s, r, err := fetchStatus(ctx, g)
	if err != nil {
		return err
	}
	walk, err := c.walk(s, r)
	if err != nil {
		return err
	}
	if !c.Cold && (walk.Method == http.MethodGet || walk.Method == http.MethodHead) {
		if _, err := walk.Do(ctx); err != nil {
			return err
		}
	}
	out, err := walk.Do(ctx)
	if err != nil {
		return err
	}
	a, _, err := admin(g)
	if err != nil {
		return err
	}
	if out.Spans, err = spans(ctx, a, out.Trace, out.Parent); err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(out)
	}
	printWalk(os.Stdout, out)
	return nil
}

// spans fetches a trace. A hop's span ends with its connection's last byte,
// which may be after the client saw it: so ask until the first edge's is among
// them, whose parent is the client. A shield's edge may be there before it.
func spans(ctx context.Context, a *client.Client, trace, parent string) (found []client.Span, err error) {
	for range 20 {
		if found, err = a.Spans(ctx, trace); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(found, func(s client.Span) bool { return s.Name == "edge" && s.Parent == parent }) {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(25 * time.Millisecond):
		}
	}
	return found, nil
}

func (c *traceCmd) walk(s client.Status, r world.Record) (client.Walk, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Hostname() != s.Domain {
		return client.Walk{}, fmt.Errorf("trace %q: expected a URL such as https://%s/", c.URL, s.Domain)
	}
	f, err := config.Load(r.Plan)
	if err != nil {
		return client.Walk{}, err
	}
	from := or(c.From, s.Edges[0].Name)
	place, err := placeOf(f, from)
	if err != nil {
		return client.Walk{}, err
	}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return client.Walk{}, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	w := client.Walk{
		From: from, DNS: s.DNS[0], Roots: roots, URL: u, Header: http.Header{"User-Agent": {"meridian-trace"}},
		Subnet: subnetOf(f, from), Method: or(c.Method, http.MethodGet), EdgeOf: edgeOf(f, s, place),
	}
	_, w.Port, _ = strings.Cut(s.Edges[0].HTTPS, ":")
	if c.Data != nil {
		w.Body, w.Method = []byte(*c.Data), or(c.Method, http.MethodPost)
		w.Header.Set("Content-Type", "application/json")
	}
	for _, h := range c.Header {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return w, fmt.Errorf("-H %q: expected name: value", h)
		}
		w.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return w, nil
}

func placeOf(f *config.File, name string) (wan.Place, error) {
	if p, ok := f.Place(meridian.Region(name)); ok {
		return p, nil
	}
	return wan.Place{}, fmt.Errorf("--from %q: expected a place of this world, or an AWS region code", name)
}

func subnetOf(f *config.File, place string) netip.Prefix {
	for _, c := range f.Clients {
		if string(c.Place) == place && len(c.Prefixes) > 0 {
			return c.Prefixes[0]
		}
	}
	return netip.Prefix{}
}

// edgeOf returns what finds the edge of an address, and the client's way to it.
func edgeOf(f *config.File, s client.Status, from wan.Place) func(string) (string, *delay.Line) {
	return func(ip string) (string, *delay.Line) {
		for _, e := range s.Edges {
			if host, _, _ := strings.Cut(e.HTTPS, ":"); host != ip {
				continue
			}
			to, _ := f.Place(meridian.Region(e.Name))
			if to == from {
				return e.Name, nil
			}
			return e.Name, delay.NewLine(wan.RTT(from, to))
		}
		return ip, nil
	}
}

func printWalk(out io.Writer, w *client.Walked) {
	fmt.Fprintf(out, "%s %s as a client at %s: %d in %s\ntrace %s\n\n", w.Method, w.URL, w.From, w.Status, ms(w.Total), w.Trace)
	row := func(depth int, took time.Duration, name, what string) {
		fmt.Fprintf(out, "%10s  %s%-*s %s\n", ms(took), strings.Repeat("  ", depth), 18-2*depth, name, what)
	}
	row(0, w.Resolve.Took, "dns", fmt.Sprintf("%s says %s, edge %s (scope /%d)", w.Resolve.Server, strings.Join(w.Resolve.Answer, " "), w.Edge, w.Resolve.Scope))
	if w.Resolve.Why != "" {
		row(0, 0, "", "best region "+w.Resolve.Region+": "+w.Resolve.Why)
	}
	row(0, w.Connect, "connect", "TCP to "+w.Address)
	row(0, w.TLS, "tls", "handshake")
	row(0, w.First, "request", "until the first byte of the answer")
	children := map[string][]client.Span{}
	ids := map[string]bool{}
	for _, s := range w.Spans {
		ids[s.ID] = true
	}
	for _, s := range w.Spans {
		parent := s.Parent
		if !ids[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	var show func(parent string, depth int)
	show = func(parent string, depth int) {
		slices.SortFunc(children[parent], func(a, b client.Span) int { return a.Start.Compare(b.Start) })
		for _, s := range children[parent] {
			row(depth, s.Took, s.Name, s.Node+facts(s))
			show(s.ID, depth+1)
		}
	}
	show("", 1)
	if len(w.Spans) == 0 {
		fmt.Fprintln(out, "\nno node kept a span of this trace")
	}
}

// quiet are the attributes that say nothing new to somebody who reads a walk;
// --json has them all.
var quiet = map[string]bool{"why": true, "region": true, "hop": true, "place": true, "request": true, "status": true, "admitted": true, "floor": true, "observed": true, "where": true}

// facts writes what a hop said of itself, its reason last.
func facts(s client.Span) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(s.Attrs)) {
		if v := s.Attrs[k]; !quiet[k] && v != "" && v != "0" && v != "false" {
			parts = append(parts, k+"="+s.Attrs[k])
		}
	}
	text := ""
	if where := s.Attrs["where"]; where != "" {
		text = " in " + where
	}
	if len(parts) > 0 {
		text += " " + strings.Join(parts, " ")
	}
	if why := s.Attrs["why"]; why != "" {
		text += ": " + why
	}
	if s.Error != "" {
		text += " FAILED: " + s.Error
	}
	return text
}

func ms(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
