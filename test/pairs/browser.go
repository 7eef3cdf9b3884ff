package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/client"
	"meridian/test/conduit"
)

// A way is a place to write at and one to read at.
type way struct {
	kind        string
	write, read client.Edge
	header      bool // the token travels in the header, and no cookie is kept
}

// ways are the kinds that ask by HTTP.
func ways(s client.Status) ([]way, error) {
	var regional, remote []client.Edge
	for _, e := range s.Edges {
		if slices.ContainsFunc(s.Regions, func(r client.Region) bool { return r.Name == e.Name }) {
			regional = append(regional, e)
		} else {
			remote = append(remote, e)
		}
	}
	if len(regional) < 3 || len(remote) < 2 {
		return nil, fmt.Errorf("want edges in three regions and at two other places, found %d and %d", len(regional), len(remote))
	}
	return []way{
		{"another connection", regional[1], regional[1], false},
		{"another edge, by cookie", remote[0], remote[1], false},
		{"another region, by cookie", regional[1], regional[2], false},
		{"another region, by header", regional[2], regional[1], true},
	}, nil
}

// doors are the kinds that ask by HTTP. The workers of a kind share the
// connections: one for all writes and another for all reads.
func doors(s client.Status) (kinds []kind, close func(), err error) {
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("%s holds no certificate", s.CA)
	}
	all, err := ways(s)
	if err != nil {
		return nil, nil, err
	}
	var open []*conduit.Client
	for _, w := range all {
		var at [2]*conduit.Client
		for i, e := range []client.Edge{w.write, w.read} {
			if at[i], err = conduit.At(conduit.Endpoint{Domain: s.Domain, Addr: e.HTTPS, Roots: roots}, nil); err != nil {
				return nil, nil, err
			}
			open = append(open, at[i])
		}
		kinds = append(kinds, kind{fmt.Sprintf("%s, %s to %s", w.kind, w.write.Name, w.read.Name), 1, func(_ context.Context, rng *rand.Rand) (pairer, error) {
			return newBrowser(at[0], at[1], w.header)
		}})
	}
	return kinds, func() {
		for _, c := range open {
			c.Close()
		}
	}, nil
}

// A browser is one caller, with a cookie jar of its own unless it goes by the
// header.
type browser struct {
	writer, reader http.Client
	at             [2]string // where
	header         bool
	token          string // the header of the newest answer
	row, v         int64
}

func newBrowser(write, read *conduit.Client, header bool) (*browser, error) {
	b := &browser{writer: *write.HTTP, reader: *read.HTTP, at: [2]string{write.Base, read.Base}, header: header, row: rows.Add(1)}
	if header {
		return b, nil
	}
	jar, err := cookiejar.New(nil)
	b.writer.Jar, b.reader.Jar = jar, jar
	return b, err
}

func (b *browser) close() {}

func (b *browser) pair(ctx context.Context) (string, error) {
	b.v++
	status, body, err := b.ask(ctx, &b.writer, http.MethodPut, b.at[0], strconv.FormatInt(b.v, 10))
	if err != nil || status != http.StatusOK {
		return "", fmt.Errorf("write: %d %s %w", status, body, orNothing(err))
	}
	status, body, err = b.ask(ctx, &b.reader, http.MethodGet, b.at[1], "")
	v, _ := strconv.ParseInt(body, 10, 64)
	switch {
	case err == nil && status == http.StatusNotFound:
		return fmt.Sprintf("(row %d was written as %d and not found)", b.row, b.v), nil
	case err != nil || status != http.StatusOK:
		return "", fmt.Errorf("read: %d %s %w", status, body, orNothing(err))
	case v != b.v:
		return fmt.Sprintf("(row %d was written as %d and read as %q)", b.row, b.v, body), nil
	}
	return "", nil
}

// tokenHeader carries a caller's consistency token.
const tokenHeader = "Meridian-Consistency"

var errStatus = fmt.Errorf("want 200")

func orNothing(err error) error {
	if err != nil {
		return err
	}
	return errStatus
}

func (b *browser) ask(ctx context.Context, c *http.Client, method, base, body string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, base+"/pairs/"+strconv.FormatInt(b.row, 10), strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "text/plain")
	if b.header && b.token != "" {
		r.Header.Set(tokenHeader, b.token)
	}
	res, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	if t := res.Header.Get(tokenHeader); t != "" {
		b.token = t
	}
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, string(raw), err
}
