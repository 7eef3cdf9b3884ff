package server

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"meridian/config"
	"meridian/edge"
	"meridian/edge/cache"
	"meridian/edge/origin"
	"meridian/edge/sign"
	"meridian/edge/waf"
)

// behaviors returns the file's behaviours as the edge takes them.
func behaviors(f *config.File, keys map[string]sign.Keys, walls map[string]*waf.Firewall) (out []edge.Behavior) {
	for _, b := range f.Behaviors {
		e := edge.Behavior{Path: b.Path, Origin: b.Origin, Methods: b.Methods, Plain: !b.Compress, EarlyHints: b.EarlyHints}
		if p, name := f.RequestPolicy(b); p != nil {
			e.Request = edge.RequestPolicy{Name: name, Headers: headerNames(p.Headers), Cookies: cookieNames(p.Cookies), Query: selected(p.Query)}
		}
		if p, name := f.CachePolicy(b); p != nil {
			e.Cache, e.Encodings = cachePolicy(name, p), p.Codings()
		}
		if p, name := f.ResponsePolicy(b); p != nil {
			e.Response = responsePolicy(name, p)
		}
		e.Errors = errorPages(b)
		e.Guard, e.Viewer = guardOf(f, b, keys), f.ViewerOf(b)
		e.Guard.WAF = walls[wallKey(b.WAF)]
		e.Functions = functionsOf(b)
		out = append(out, e)
	}
	return out
}

func responsePolicy(name string, p *config.ResponseHeadersPolicy) *edge.ResponsePolicy {
	out := &edge.ResponsePolicy{Name: name, Set: headersOf(p.Set), Default: headersOf(p.Default), ServerTiming: p.ServerTiming}
	for _, n := range p.Remove {
		out.Remove = append(out.Remove, http.CanonicalHeaderKey(n))
	}
	if c := p.CORS; c != nil {
		out.CORS = &edge.CORS{
			Origins: c.AllowOrigins, Methods: c.AllowMethods, Headers: c.AllowHeaders, Expose: c.ExposeHeaders, Credentials: c.AllowCredentials, MaxAge: c.MaxAge, Override: c.Override,
		}
	}
	return out
}

func errorPages(b config.Behavior) map[int]edge.ErrorPage {
	if len(b.Errors) == 0 {
		return nil
	}
	out := map[int]edge.ErrorPage{}
	for text, p := range b.Errors {
		if status, err := strconv.Atoi(text); err == nil { // checked with the file
			out[status] = edge.ErrorPage{Path: p.Page, Status: p.Status}
		}
	}
	return out
}

func headersOf(values map[string]string) http.Header {
	h := http.Header{}
	for name, v := range values {
		h.Set(name, v)
	}
	return h
}

func cachePolicy(name string, p *config.CachePolicy) *cache.Policy {
	return &cache.Policy{
		Name: name, MinTTL: p.MinTTL, DefaultTTL: p.DefaultTTL, MaxTTL: p.MaxTTL,
		Headers: headerNames(p.Headers), Cookies: cookieNames(p.Cookies), Query: selected(p.Query),
		ErrorTTL: p.Statuses(), Heuristic: p.Heuristic, StaleWhileRevalidate: p.StaleWhileRevalidate, StaleIfError: p.StaleIfError,
		StaleIfUnreachable: p.StaleIfUnreachable, Eventual: p.Eventual,
	}
}

func selected(s config.Selection) cache.Selection {
	return cache.Selection{Mode: cache.Mode(s.Mode), Names: slices.Clone(s.Names)}
}

// cookieNames returns a selection of cookies, whose names may be patterns.
func cookieNames(s config.Selection) cache.Selection {
	out := cache.Selection{Mode: cache.Mode(s.Mode)}
	for _, n := range s.Names {
		if strings.ContainsAny(n, "*?") {
			out.Wild = append(out.Wild, n)
		} else {
			out.Names = append(out.Names, n)
		}
	}
	return out
}

// headerNames returns a selection of headers, whose case does not count.
func headerNames(s config.Selection) cache.Selection {
	out := selected(s)
	for i, n := range out.Names {
		out.Names[i] = http.CanonicalHeaderKey(n)
	}
	return out
}

// origins returns the file's origins that are no regions, with what stands in
// other files.
func origins(f *config.File) (out []origin.CustomConfig, err error) {
	for name, o := range f.Origins {
		u, err := url.Parse(o.URL)
		if err != nil {
			return nil, fmt.Errorf("origin %s: %w", name, err)
		}
		c := origin.CustomConfig{Name: name, URL: u, H2C: o.Protocol == config.ProtocolH2C, HostHeader: o.HostHeader, ConnectTimeout: o.ConnectTimeout, ResponseTimeout: o.ResponseTimeout, Connections: o.Connections}
		if c.Headers, err = originHeaders(f, o); err != nil {
			return nil, fmt.Errorf("origin %s: %w", name, err)
		}
		if o.CA != "" {
			pem, err := os.ReadFile(o.CA)
			if err != nil {
				return nil, fmt.Errorf("origin %s: CA: %w", name, err)
			}
			c.Roots = x509.NewCertPool()
			if !c.Roots.AppendCertsFromPEM(pem) {
				return nil, f.At("origins."+name+".ca", fmt.Errorf("%s has no certificate; expected a PEM file with certificates", o.CA))
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func originHeaders(f *config.File, o config.Origin) (http.Header, error) {
	h := http.Header{}
	for name, v := range o.Headers {
		text, err := value(f, v)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
		if !httpguts.ValidHeaderFieldValue(text) {
			return nil, fmt.Errorf("header %s: what its file holds is no header's value; expected one line of text", name)
		}
		h.Set(name, text)
	}
	return h, nil
}

// value returns what the file sets something to: a text, or what a file holds
// without the end of its last line.
func value(f *config.File, v config.Value) (string, error) {
	path := v.File
	if v.Secret != "" {
		path = f.Secrets[v.Secret].File
	}
	if path == "" {
		return v.Text, nil
	}
	b, err := os.ReadFile(path)
	return strings.TrimRight(string(b), "\r\n"), err
}
