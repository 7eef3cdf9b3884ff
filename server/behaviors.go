package server

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"meridian/config"
	"meridian/edge"
	"meridian/edge/cache"
	"meridian/edge/origin"
)

// behaviors returns the file's behaviours as the edge takes them.
func behaviors(f *config.File) (out []edge.Behavior) {
	for _, b := range f.Behaviors {
		e := edge.Behavior{Path: b.Path, Origin: b.Origin, Methods: b.Methods}
		if p, name := f.RequestPolicy(b); p != nil {
			e.Request = edge.RequestPolicy{Name: name, Headers: headerNames(p.Headers), Cookies: selected(p.Cookies), Query: selected(p.Query)}
		}
		out = append(out, e)
	}
	return out
}

func selected(s config.Selection) cache.Selection {
	return cache.Selection{Mode: cache.Mode(s.Mode), Names: slices.Clone(s.Names)}
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
		c := origin.CustomConfig{Name: name, URL: u, HostHeader: o.HostHeader, ConnectTimeout: o.ConnectTimeout, ResponseTimeout: o.ResponseTimeout}
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
				return nil, fmt.Errorf("origin %s: %s has no certificate; expected a PEM file with certificates", name, o.CA)
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
